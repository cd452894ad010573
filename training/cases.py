"""The captions that the demo model is tested with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.world import (
    COLOUR_NAMES,
    HELD_OUT_PAIRS,
    SHAPES,
    SIZE_NAMES,
    Scene,
    Thing,
    is_held_out,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scene to paint from its caption, and the seed of the noise."""

    scene: Scene
    seed: int


def held_out_cases(
    wanted: Callable[[str, str], bool], *, seeds: int, sizes: Sequence[str] = SIZE_NAMES
) -> list[Case]:
    """Return one-object scenes that the model never sees in training.

    Args:
        wanted: Picks them by colour and shape.
        seeds: Pictures of each scene.
        sizes: Size words to use.
    """
    scenes = [
        _scene(colour, shape, background, size)
        for colour in COLOUR_NAMES
        for shape in SHAPES
        for background in COLOUR_NAMES
        for size in sizes
        if colour != background
        and is_held_out(colour, shape, background)
        and wanted(colour, shape)
    ]
    return [
        Case(scene=scene, seed=1000 * repeat + number)
        for repeat in range(seeds)
        for number, scene in enumerate(scenes)
    ]


def _scene(colour: str, shape: str, background: str, size: str) -> Scene:
    thing = Thing(colour=colour, shape=shape, x=32, y=32, radius=16, rotation=0)
    return Scene(things=(thing,), background=background, size=size)


def is_new_pair(colour: str, shape: str) -> bool:
    """Return whether no training picture has this shape in this colour."""
    return (colour, shape) in HELD_OUT_PAIRS


def is_known_pair(colour: str, shape: str) -> bool:
    """Return whether training pictures have this shape in this colour."""
    return (colour, shape) not in HELD_OUT_PAIRS


def two_object_scenes(count: int) -> Iterator[Scene]:
    """Yield scenes of two things, side by side or one above the other."""
    for number in range(count):
        rng = np.random.default_rng([77, number])
        colours = [str(name) for name in rng.choice(COLOUR_NAMES, 3, replace=False)]
        shapes = [str(name) for name in rng.choice(SHAPES, 2)]
        things = [
            _scene(colour, shape, colours[2], "").things[0]
            for colour, shape in zip(colours[:2], shapes, strict=True)
        ]
        relation = "above" if number % 2 else "and"
        yield Scene(things=tuple(things), background=colours[2], relation=relation)
