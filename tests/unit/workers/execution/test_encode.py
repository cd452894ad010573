"""The PNG file: its parameters in both forms, and a hash of the picture itself."""

import io
import json
import re
from typing import Any

import pytest
from PIL import Image

from storage.files.pictures import pixel_sha256
from storage.job import Model
from tests.builders import make_job
from workers.execution.encode import describe, encode_png

IMAGE = Image.new("RGB", (16, 8), "#123456")


#: How the web UI reads a line of parameters (modules/infotext_utils.py).
PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def reopened(scheduler: str = "ddim", **changes: Any) -> Any:
    content = encode_png(IMAGE, make_job(**changes), scheduler=scheduler)
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def read_back(text: str) -> dict[str, str]:
    """Read parameters as the web UI does."""
    *lines, last = text.strip().split("\n")
    assert len(PARAMETER.findall(last)) >= 3
    found: dict[str, list[str]] = {"prompt": [], "negative": []}
    part = "prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            part = "negative"
            line = line[16:].strip()
        found[part].append(line)
    parameters = {
        name: json.loads(value) if value[0] == value[-1] == '"' else value
        for name, value in PARAMETER.findall(last)
    }
    return {**{part: "\n".join(some) for part, some in found.items()}, **parameters}


def parameters(scheduler: str = "ddim", **changes: Any) -> dict[str, str]:
    return read_back(reopened(scheduler, **changes).text["parameters"])


def test_the_parameters_are_in_the_form_that_other_tools_read() -> None:
    job = make_job(
        prompt="a cat",
        negative_prompt="lowres",
        scheduler_class="DPMSolverMultistepScheduler",
        scheduler_options={"use_karras_sigmas": True},
        extras={"clip_skip": 2},
    )
    assert describe(job, scheduler="dpmpp_2m_karras").splitlines() == [
        "a cat",
        "Negative prompt: lowres",
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 8, Size: 512x512, "
        'Model hash: 0000000000, Model: "builtin:shapes", Clip skip: 3',
    ]


def test_inputs_of_the_pipeline_are_in_the_file_by_their_names() -> None:
    extras = {
        "call.true_cfg_scale": 4.0,
        "call.cfg_normalization": True,
        "call.original_size": [512, 768],
        "call.system_prompt": "You paint, well.",
    }
    found = parameters(extras=extras)
    assert found["true_cfg_scale"] == "4"
    assert found["cfg_normalization"] == "true"
    assert found["original_size"] == "[512,768]"
    assert found["system_prompt"] == "You paint, well."
    record = json.loads(reopened("ddim", extras=extras).text["nightsweep"])
    assert {name: record[name] for name in extras} == extras


@pytest.mark.parametrize(
    ("scheduler", "sampler"),
    [
        ("plms", "PLMS"),
        ("pndm", "PNDM"),
        ("dpmpp_2m_lu(solver_order=3)", "dpmpp_2m_lu(solver_order=3)"),
        ("ddim(a=1, b=2)", "ddim(a=1, b=2)"),
    ],
)
def test_the_sampler_has_the_web_uis_label_of_the_name_or_our_name(
    scheduler: str, sampler: str
) -> None:
    assert parameters(scheduler)["Sampler"] == sampler
    record = json.loads(reopened(scheduler).text["nightsweep"])
    assert record["scheduler_name"] == scheduler


@pytest.mark.parametrize(
    ("clip_skip", "shown"), [(0, None), (1, "2"), (2, "3"), (12, "13")]
)
def test_clip_skip_is_counted_as_the_web_ui_counts_it(
    clip_skip: int, shown: str | None
) -> None:
    # diffusers' 1 leaves out one layer; the web UI's 1 leaves out none.
    assert parameters(extras={"clip_skip": clip_skip}).get("Clip skip") == shown


@pytest.mark.parametrize(
    ("guidance", "shown"),
    [
        (7, "7"),
        (7.5, "7.5"),
        (100, "100"),
        (7.1234567, "7.1234567"),
        (1e-07, "1e-07"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_the_cfg_scale_reads_back_as_the_same_number(
    guidance: float, shown: str
) -> None:
    assert parameters(guidance=guidance)["CFG scale"] == shown
    assert float(shown) == guidance


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a cat", "ugly, lowres"),
        ("two\nlines", "two\nmore"),
        ("a cat\nSteps: 3, Sampler: Euler, CFG scale: 1", "Steps: 9, Seed: 1, Size: 2"),
        ('quotes "here", and: there', 'and "here"'),
        ("", "ugly"),
        ("猫 Kätzchen", ""),
    ],
)
def test_the_web_ui_reads_prompts_back(prompt: str, negative: str) -> None:
    found = parameters(prompt=prompt, negative_prompt=negative)
    assert (found["prompt"], found["negative"]) == (prompt, negative)
    assert (found["Steps"], found["Seed"]) == ("20", "8")


def test_a_line_that_looks_like_a_negative_prompt_joins_the_one_before() -> None:
    found = parameters(
        prompt="a cat\n Negative prompt: of a film",
        negative_prompt="ugly\nNegative prompt: again",
    )
    assert found["prompt"] == "a cat Negative prompt: of a film"
    assert found["negative"] == "ugly Negative prompt: again"


@pytest.mark.parametrize("prompt", ["a cat", "Ünïcode 猫"])
def test_no_control_character_but_a_line_feed_stands_in_the_file(prompt: str) -> None:
    every = "".join(map(chr, [*range(1, 32), *range(127, 160)]))
    model = Model(fingerprint="0" * 32, name="/models/a\x7fb, c")
    text = f"{prompt} {every}\r\nred\rgreen\tblue"
    image = reopened(prompt=text, negative_prompt=text, model=model)
    for chunk in image.text.values():
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", chunk)
    assert "\nred\ngreen blue\n" in image.text["parameters"]
    assert json.loads(image.text["nightsweep"])["prompt"] == text


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
