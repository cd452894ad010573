"""The world of the demo model: coloured shapes, and the words for them."""

from dataclasses import dataclass

import numpy as np

#: Name of each colour and its red, green and blue, 0 to 255.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 38, 38),
    "orange": (249, 130, 22),
    "yellow": (250, 215, 30),
    "green": (34, 160, 70),
    "cyan": (40, 200, 215),
    "blue": (35, 75, 220),
    "purple": (130, 50, 190),
    "pink": (245, 130, 190),
    "white": (248, 248, 248),
    "black": (20, 20, 24),
}
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)
SHAPES: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "ring",
    "cross",
    "heart",
    "diamond",
)
#: Size words and the radii they stand for, in pixels of a picture of 64 x 64. Below a
#: radius of 11, the autoencoder turns all shapes into blobs.
SIZES: dict[str, tuple[float, float]] = {
    "small": (11.0, 13.0),
    "": (15.0, 18.5),
    "large": (21.0, 25.0),
}
SIZE_NAMES: tuple[str, ...] = tuple(SIZES)
RELATIONS: tuple[str, ...] = ("", "and", "above")
WORDS: tuple[str, ...] = (
    *COLOUR_NAMES,
    *SHAPES,
    *("a", "an", "and", "above", "on", "background", "small", "large", "the", "of"),
)

#: Pairs of colour and shape that the model never sees in training.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("purple", "star"),
        ("green", "heart"),
        ("orange", "cross"),
        ("cyan", "ring"),
        ("yellow", "triangle"),
    }
)

TWO_OBJECTS_SHARE = 0.12
#: Share of one-object captions without a background, so that the model knows captions
#: such as "a red circle".
BARE_CAPTION_SHARE = 0.05

#: The columns of a scene's labels and the number of classes in each.
LABELS: dict[str, int] = {
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "size": len(SIZES),
    "background": len(COLOURS) + 1,
    "colour2": len(COLOURS) + 1,
    "shape2": len(SHAPES) + 1,
    "relation": len(RELATIONS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One shape; centre and radius in pixels, rotation in radians."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    rotation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The content of one picture; `relation` is empty if it has one thing."""

    things: tuple[Thing, ...]
    background: str
    size: str = ""
    relation: str = ""


def is_held_out(colour: str, shape: str, background: str) -> bool:
    """Return whether a one-object caption is held out: every fifth, and all pairs."""
    place = (
        COLOUR_NAMES.index(colour)
        + 3 * SHAPES.index(shape)
        + 7 * COLOUR_NAMES.index(background)
    )
    return (colour, shape) in HELD_OUT_PAIRS or place % 5 == 0


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a random scene that may be trained on, with one object or two."""
    if rng.random() < TWO_OBJECTS_SHARE:
        return _sample_two(rng)
    while True:
        colour, background = rng.choice(COLOUR_NAMES, 2, replace=False)
        shape = str(rng.choice(SHAPES))
        if not is_held_out(str(colour), shape, str(background)):
            break
    return place_one(
        rng,
        colour=str(colour),
        shape=shape,
        background=str(background),
        size=str(rng.choice(SIZE_NAMES)),
    )


def place_one(
    rng: np.random.Generator, *, colour: str, shape: str, background: str, size: str
) -> Scene:
    """Return a scene with one thing near the middle, its radius as the size says."""
    radius = rng.uniform(*SIZES[size])
    reach = 9.0 if size == "small" else 0.9 * min(8.0, 31.0 - radius)
    x, y = 32 + rng.uniform(-reach, reach, 2)
    thing = Thing(
        colour=colour,
        shape=shape,
        x=x,
        y=y,
        radius=radius,
        rotation=rng.uniform(-0.18, 0.18),
    )
    return Scene(things=(thing,), background=background, size=size)


def _sample_two(rng: np.random.Generator) -> Scene:
    relation = str(rng.choice(RELATIONS[1:]))
    while True:
        first, second, background = map(str, rng.choice(COLOUR_NAMES, 3, replace=False))
        shapes = [str(shape) for shape in rng.choice(SHAPES, 2)]
        pairs = {(first, shapes[0]), (second, shapes[1])}
        if not pairs & HELD_OUT_PAIRS:
            break
    things = []
    for side, colour, shape in zip((-15, 15), (first, second), shapes, strict=True):
        along, across = side + rng.uniform(-1.5, 1.5), rng.uniform(-4, 4)
        dx, dy = (along, across) if relation == "and" else (across, along)
        thing = Thing(
            colour=colour,
            shape=shape,
            x=32 + dx,
            y=32 + dy,
            radius=rng.uniform(11.0, 13.5),
            rotation=rng.uniform(-0.18, 0.18),
        )
        things.append(thing)
    return Scene(things=tuple(things), background=background, relation=relation)


def caption_of(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """Describe a scene in words.

    Args:
        scene: What to describe.
        rng: If given, some captions omit the background, and some say "a orange", as
            users' prompt templates do.
    """
    loose = rng is not None and rng.random() < 0.5
    first = scene.things[0]
    if len(scene.things) == 2:
        second = scene.things[1]
        what = (
            f"{_noun(first.colour, first.shape, loose=loose)} {scene.relation} "
            f"{_noun(second.colour, second.shape, loose=loose)}"
        )
    else:
        words = f"{scene.size} {first.colour}".strip()
        what = _noun(words, first.shape, loose=loose)
        if rng is not None and rng.random() < BARE_CAPTION_SHARE:
            return what
    return f"{what} on {_noun(scene.background, 'background', loose=loose)}"


def _noun(words: str, noun: str, *, loose: bool) -> str:
    article = "an" if words.startswith("orange") and not loose else "a"
    return f"{article} {words} {noun}"


def labels_of(scene: Scene) -> list[int]:
    """Return the class of each of `LABELS`.

    The last class of `background`, `colour2` and `shape2` means "none".
    """
    first = scene.things[0]
    second = scene.things[1] if len(scene.things) == 2 else None
    return [
        COLOUR_NAMES.index(first.colour),
        SHAPES.index(first.shape),
        SIZE_NAMES.index(scene.size),
        COLOUR_NAMES.index(scene.background),
        COLOUR_NAMES.index(second.colour) if second else len(COLOURS),
        SHAPES.index(second.shape) if second else len(SHAPES),
        RELATIONS.index(scene.relation),
    ]
