"""The PNG file: its parameters in both forms, and a hash of the picture itself."""

import io
import json
from typing import Any

import pytest
from PIL import Image

from storage.job import Model
from tests.builders import make_job
from workers.encode import describe, encode_png, pixel_sha256

IMAGE = Image.new("RGB", (16, 8), "#123456")


def reopened(**changes: Any) -> Any:
    image = Image.open(io.BytesIO(encode_png(IMAGE, make_job(**changes))))
    image.load()
    return image


def test_the_parameters_are_in_the_form_that_other_tools_read() -> None:
    job = make_job(
        prompt="a cat",
        negative_prompt="lowres",
        scheduler_class="DPMSolverMultistepScheduler",
        scheduler_options={"use_karras_sigmas": True},
        extras={"clip_skip": 2},
    )
    assert describe(job).splitlines() == [
        "a cat",
        "Negative prompt: lowres",
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 8, Size: 512x512, "
        'Model hash: 0000000000, Model: "builtin:shapes", Clip skip: 2',
    ]


def test_a_sampler_that_the_web_ui_does_not_know_has_our_name() -> None:
    job = make_job(
        scheduler_class="DPMSolverMultistepScheduler",
        scheduler_options={"solver_order": 3, "use_lu_lambdas": True},
    )
    assert "Sampler: dpmpp_2m_lu(solver_order=3), CFG" in describe(job)


@pytest.mark.parametrize("prompt", ["a cat", "ein Kätzchen", "猫, {a|b}", "two\nlines"])
def test_any_prompt_survives_in_the_file(prompt: str) -> None:
    image = reopened(prompt=prompt)
    assert image.text["parameters"].startswith(prompt)
    record = json.loads(image.text["nightsweep"])
    assert record["prompt"] == prompt
    assert record["key"] == make_job(prompt=prompt).key


def test_the_picture_is_kept_and_hashed_whatever_the_encoding() -> None:
    image = reopened()
    assert image.tobytes() == IMAGE.tobytes()
    assert pixel_sha256(image) == pixel_sha256(IMAGE)
    other = IMAGE.copy()
    other.putpixel((0, 0), (0, 0, 0))
    assert pixel_sha256(other) != pixel_sha256(IMAGE)


def test_a_local_model_is_named_without_its_path() -> None:
    model = Model(fingerprint="0" * 32, name="/home/me/secret plans/My model")
    image = reopened(model=model)
    assert "Model: My model" in image.text["parameters"]
    assert json.loads(image.text["nightsweep"])["model_name"] == "My model"
    assert "secret" not in "".join(image.text.values())


def test_a_model_of_the_hub_is_named_in_full() -> None:
    model = Model(fingerprint="0" * 32, name="org/name")
    assert json.loads(reopened(model=model).text["nightsweep"])["model_name"] == (
        "org/name"
    )
