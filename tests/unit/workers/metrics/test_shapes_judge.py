"""The judge of the demo's shapes, against drawings whose truth is known."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.shapes_judge import COLOURS as KNOWN_COLOURS
from examples.shapes_judge import SHAPES as KNOWN_SHAPES
from storage.errors import ScoreError
from tests import script
from tests.samples import make_noise, make_sample, pixels_of
from training.cases import two_object_scenes
from training.data import draw
from training.world import (
    COLOUR_NAMES,
    COLOURS,
    SHAPES,
    SIZE_NAMES,
    Scene,
    Thing,
    caption_of,
    place_one,
)
from workers.metrics.measuring import measure
from workers.metrics.metric import Metric
from workers.metrics.registry import load

FILE = Path(__file__).parents[4] / "examples" / "shapes_judge.py"
#: Prompts of the demo model, one with each shape.
PROMPTS = tuple(
    f"a large {colour} {shape} on a {ground} background"
    for colour, shape, ground in zip(
        ("red", "green", "pink", "white", "black", "purple", "blue", "cyan"),
        SHAPES,
        ("white", "black", "blue", "red", "yellow", "cyan", "pink", "black"),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def judge() -> Metric:
    return load(f"{FILE}:ShapesJudge", model="", device="cpu")


def score(judge: Metric, image: np.ndarray, prompt: str) -> float:
    return judge.score([make_sample(image=image, prompt=prompt)])[0]


def one_object_scenes(rng: np.random.Generator) -> Iterator[Scene]:
    """Make a scene for every prompt of one thing, held-out ones among them."""
    for colour in COLOUR_NAMES:
        for background in COLOUR_NAMES:
            for shape in SHAPES if background != colour else ():
                for size in SIZE_NAMES:
                    yield place_one(
                        rng,
                        colour=colour,
                        shape=shape,
                        background=background,
                        size=size,
                    )


def placed(scene: Scene, rng: np.random.Generator) -> Scene:
    """Place two things as the pictures to learn from have them."""
    things = []
    for side, thing in zip((-15, 15), scene.things, strict=True):
        along, across = side + rng.uniform(-1.5, 1.5), rng.uniform(-4, 4)
        dx, dy = (along, across) if scene.relation == "and" else (across, along)
        things.append(
            replace(
                thing,
                x=32 + dx,
                y=32 + dy,
                radius=rng.uniform(11.0, 13.5),
                rotation=rng.uniform(-0.18, 0.18),
            )
        )
    return replace(scene, things=tuple(things))


def test_it_knows_the_words_of_the_model() -> None:
    assert KNOWN_COLOURS == COLOURS
    assert KNOWN_SHAPES == SHAPES


def wrong_ones(judge: Metric, scenes: Iterable[Scene]) -> list[str]:
    """Return the captions of scenes whose drawings the judge finds fault with."""
    rng = np.random.default_rng(3)
    captions = [(caption_of(scene), draw(scene, rng)) for scene in scenes]
    return [text for text, image in captions if score(judge, image, text) != 1.0]


def test_a_drawing_of_one_thing_is_right(judge: Metric) -> None:
    scenes = one_object_scenes(np.random.default_rng(1))
    assert wrong_ones(judge, islice(scenes, 0, None, 11)) == []


@pytest.mark.slow
def test_a_drawing_of_any_prompt_of_one_thing_is_right(judge: Metric) -> None:
    assert wrong_ones(judge, one_object_scenes(np.random.default_rng(1))) == []


def test_a_drawing_of_two_things_is_right(judge: Metric) -> None:
    rng = np.random.default_rng(2)
    assert (
        wrong_ones(judge, (placed(each, rng) for each in two_object_scenes(80))) == []
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red circle on a blue background", 1),
        ("A  Large red circle on a blue background", 1),
        ("a red circle", 1),
        ("a red square", 1 / 2),
        ("a green circle on a blue background", 2 / 3),
        ("a red square on a blue background", 2 / 3),
        ("a red circle on a white background", 2 / 3),
        ("a green square on a blue background", 1 / 3),
        ("a orange square on a white background", 0),
    ],
)
def test_each_thing_that_is_asked_for_and_missing_costs_its_part(
    judge: Metric, prompt: str, expected: float
) -> None:
    thing = Thing(colour="red", shape="circle", x=30, y=35, radius=17, rotation=0)
    scene = Scene(things=(thing,), background="blue")
    image = draw(scene, np.random.default_rng(0))
    assert score(judge, image, prompt) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red star and a green ring on a white background", 1),
        ("a green ring and a red star on a white background", 1 / 3),
        ("a green star and a red ring on a white background", 2 / 3),
        ("a red star and a green heart on a white background", 5 / 6),
        ("a red star and a blue ring on a pink background", 1 / 2),
        ("a red star and a green ring", 1),
    ],
)
def test_two_things_share_the_parts_for_colour_and_shape(
    judge: Metric, prompt: str, expected: float
) -> None:
    things = [
        Thing(colour="red", shape="star", x=17, y=33, radius=12, rotation=0.1),
        Thing(colour="green", shape="ring", x=46, y=31, radius=13, rotation=0),
    ]
    scene = Scene(things=tuple(things), background="white", relation="and")
    image = draw(scene, np.random.default_rng(0))
    assert score(judge, image, prompt) == pytest.approx(expected)


def test_a_blank_picture_has_a_background_and_nothing_else(judge: Metric) -> None:
    blank = np.full((64, 64, 3), COLOURS["blue"], np.uint8)
    prompt = "a red circle on a blue background"
    assert score(judge, blank, prompt) == pytest.approx(1 / 3)


def test_noise_has_no_shape(judge: Metric) -> None:
    rng = np.random.default_rng(7)
    prompts = [f"a red {shape} on a blue background" for shape in SHAPES]
    noise = make_noise(rng, width=64, height=64)
    assert max(score(judge, noise, prompt) for prompt in prompts) <= 2 / 3
    assert min(score(judge, noise, prompt) for prompt in prompts) == max(
        score(judge, noise, prompt) for prompt in prompts
    )


def test_a_larger_picture_is_judged_alike(judge: Metric) -> None:
    rng = np.random.default_rng(8)
    for scene in list(one_object_scenes(rng))[::270]:
        large = Image.fromarray(draw(scene, rng)).resize((160, 160))
        assert score(judge, pixels_of(large), caption_of(scene)) == 1.0


def test_a_prompt_of_another_world_is_an_error_of_its_image(judge: Metric) -> None:
    image = draw(Scene(things=(), background="blue"), np.random.default_rng(0))
    score, failed = measure(
        judge,
        [
            make_sample(image=image, prompt="a red circle on a blue background"),
            make_sample(image=image, prompt="a photo of a fox"),
        ],
    )
    assert score == pytest.approx(1 / 3)
    assert isinstance(failed, ScoreError)
    assert str(failed) == (
        f"shapes must score any image, but fails for the image {'a' * 32}: ValueError:"
        " a prompt is like 'a red circle on a blue background', got 'a photo of a"
        " fox'; look at the image, or mend the metric"
    )


@pytest.mark.long
def test_pictures_of_the_demo_model_are_right_when_they_are_finished(
    judge: Metric,
) -> None:
    finished, begun = (script.paint_together(PROMPTS, steps=n) for n in (12, 1))
    assert mean(judge, finished, PROMPTS) > 0.95
    assert mean(judge, begun, PROMPTS) < 0.4
    assert mean(judge, finished, [*PROMPTS[3:], *PROMPTS[:3]]) < 0.2


def mean(judge: Metric, images: Sequence[np.ndarray], prompts: Sequence[str]) -> float:
    samples = [
        make_sample(image=pixels_of(image), prompt=prompt)
        for image, prompt in zip(images, prompts, strict=True)
    ]
    return float(np.mean(judge.score(samples)))
