"""Inputs that only some pipelines have, as sweep files and options write them."""

from pathlib import Path
from typing import Any

import pytest

from producer.spec.sweepfile import Spec, read_spec
from storage.catalogue.pipeline_calls import OWN
from storage.errors import SpecError
from tests.unit.cards import write_spec

BASE = "name: s\nbase: {model: m, prompt: p}\n"


def read(folder: Path, text: str, **options: Any) -> Spec:
    return read_spec(write_spec(folder, text), **options)


def problems_of(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(folder, text, **options)
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


def values_of(spec: Spec, name: str) -> list[Any]:
    (axis,) = (each for each in spec.axes if each.name == name)
    return [value.sets[name] for value in axis.values]


@pytest.mark.parametrize(
    "written",
    [
        "call: {true_cfg_scale: 4}",
        "call.true_cfg_scale: 4",
        "call: {true_cfg_scale: 4.0}",
    ],
)
def test_an_input_is_written_under_call_or_with_its_whole_name(
    tmp_path: Path, written: str
) -> None:
    spec = read(tmp_path, f"name: s\nbase: {{model: m, prompt: p, {written}}}")
    assert spec.base["call.true_cfg_scale"] == 4.0
    assert spec.places["call.true_cfg_scale"].line == 2
    assert spec.calls == ["call.true_cfg_scale"]


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("true_cfg_scale", "4", 4.0),
        ("max_sequence_length", "128", 128),
        ("cfg_normalization", "true", True),
        ("original_size", "[512, 768]", (512, 768)),
        ("skip_guidance_layers", "[7, 8, 9]", (7, 8, 9)),
        ("system_prompt", "You paint, well.", "You paint, well."),
    ],
)
def test_a_value_is_of_the_kind_that_the_pipelines_ask_for(
    tmp_path: Path, name: str, written: str, value: object
) -> None:
    spec = read(tmp_path, f"{BASE}\n", sets=[f"call.{name}={written}"])
    assert spec.base[f"call.{name}"] == value
    assert type(spec.base[f"call.{name}"]) is type(value)
    again = read(tmp_path, spec.text)
    assert again.base == spec.base


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("call.true_cfg_scale: [1, 4]", [1.0, 4.0]),
        ("call: {true_cfg_scale: {start: 1, stop: 2, step: 0.5}}", [1.0, 1.5, 2.0]),
        ("call.true_cfg_scale: 3", [3.0]),
    ],
)
def test_an_input_is_an_axis(tmp_path: Path, axis: str, values: list[float]) -> None:
    spec = read(tmp_path, f"{BASE}axes: {{{axis}}}\n")
    assert values_of(spec, "call.true_cfg_scale") == values


def test_options_name_an_input_as_the_file_does(tmp_path: Path) -> None:
    text = "name: s\nbase: {model: m, prompt: p, call: {true_cfg_scale: 2}}"
    spec = read(
        tmp_path,
        text,
        sets=["base.call.true_cfg_scale=4"],
        axes=["call.max_sequence_length=64,128", "call.original_size=[[8, 16]]"],
    )
    assert spec.base["call.true_cfg_scale"] == 4.0
    assert values_of(spec, "call.max_sequence_length") == [64, 128]
    assert values_of(spec, "call.original_size") == [(8, 16)]
    more = read(tmp_path, text, axes=["call.true_cfg_scale+=3"])
    assert values_of(more, "call.true_cfg_scale") == [2.0, 3.0]


def test_an_axis_of_bundles_may_be_called_call(tmp_path: Path) -> None:
    axes = "axes: {call: [{label: low, set: {call: {true_cfg_scale: 2}}}]}"
    (axis,) = read(tmp_path, f"{BASE}{axes}").axes
    assert axis.name == "call"
    assert axis.parameters == ("call.true_cfg_scale",)


def test_entries_of_exclude_and_include_name_inputs(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        f"{BASE}axes: {{call.true_cfg_scale: [1, 4], steps: [4, 8]}}\n"
        "exclude: [{call: {true_cfg_scale: 4}, steps: 8}]\n"
        "include: [{call.max_sequence_length: 64}]\n",
    )
    assert [one.key for one in spec.exclude[0].conditions] == [
        *("call.true_cfg_scale", "steps")
    ]
    assert spec.calls == ["call.max_sequence_length", "call.true_cfg_scale"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            "{true_cfg_scal: 4}",
            "`base` has no key `call.true_cfg_scal`; did you mean"
            " `call.true_cfg_scale`?",
        ),
        (
            "{colour: 4}",
            "`base` has no key `call.colour`; docs/models.md lists the inputs of each"
            " pipeline",
        ),
        (
            "{true_cfg_scale: true}",
            "call.true_cfg_scale must be a number from 0 to 100, got true; write it in"
            " digits",
        ),
        (
            "{max_sequence_length: 0}",
            "call.max_sequence_length must be an integer from 1 to 65536, got 0; choose"
            " one in that range",
        ),
        (
            "{cfg_normalization: 1}",
            "call.cfg_normalization must be true or false, got 1; write one of the two",
        ),
        (
            "{original_size: 512}",
            "call.original_size must be a list of 2 integers, got 512; write it in"
            " brackets, such as [512, 768], and several such lists under `axes` as"
            " [[512, 768], ...]",
        ),
        (
            "{original_size: [1, 2, 3]}",
            "call.original_size must be a list of 2 integers, got 3 values; write it in"
            " brackets, such as [512, 768], and several such lists under `axes` as"
            " [[512, 768], ...]",
        ),
        (
            "{original_size: [1, -2]}",
            "each number of call.original_size must be an integer from 0 to 65536, got"
            " -2; choose one in that range",
        ),
        (
            "4",
            "`base` has no key `call`; write parameters under it, such as"
            " {true_cfg_scale: 4}",
        ),
        (
            "{true_cfg_scale: 4}, call.true_cfg_scale: 3",
            "a key must appear once, got `call.true_cfg_scale` again; remove one of the"
            " two",
        ),
        (
            "{true_cfg_scale: [1, 4]}",
            "call.true_cfg_scale must be one value in `base`, got a list; move it to"
            " `axes`",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, written: str, problem: str
) -> None:
    text = f"name: s\nbase:\n  {{model: m, prompt: p,\n  call: {written}}}"
    assert problems_of(tmp_path, text) == [f"sweep.yaml line 4: {problem}"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("guidance_scale", "it is called `guidance` here"),
        ("num_inference_steps", "it is called `steps` here"),
        ("width", "it is called `width` here"),
        ("generator", "the first noise follows from `seed` and `generator`"),
        ("latents", "the first noise follows from `seed` and `generator`"),
        ("callback_on_step_end", "it is a function, which a sweep file cannot hold"),
        ("use_kv_cache", "a cache of the network's answers makes images that"),
        ("sigmas", "it is a parameter of its own here; write `schedule: "),
        ("timesteps", "it is a parameter of its own here; write `schedule: "),
        ("shift", "it is a parameter of its own here; write `shift: 3`"),
        ("prompt_embeds", "it is a tensor, which a sweep file cannot hold"),
        ("num_images_per_prompt", "a seed makes one image"),
        ("output_type", "the worker decides how it gets the pixels; leave it out"),
        ("image", "it is a parameter of its own; write `image` and `strength`"),
        ("negative_prompt_2", "all text encoders read one negative prompt"),
        ("joint_attention_kwargs", "it is for what is loaded besides a model"),
    ],
)
def test_what_a_sweep_says_otherwise_or_must_not_set_is_told_why(
    tmp_path: Path, name: str, reason: str
) -> None:
    text = f"name: s\nbase: {{model: m, prompt: p, call: {{{name}: 8}}}}"
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(f"sweep.yaml line 2: `base` has no key `call.{name}`; ")
    assert reason in problem


@pytest.mark.parametrize("name", OWN)
def test_a_parameter_of_jobs_is_never_an_input_of_its_own(
    tmp_path: Path, name: str
) -> None:
    (problem, *_) = problems_of(tmp_path, f"{BASE}axes: {{call.{name}: [8]}}")
    assert f"it is called `{OWN[name]}` here" in problem


def test_an_option_with_several_values_is_told_to_be_an_axis(tmp_path: Path) -> None:
    assert problems_of(tmp_path, BASE, sets=["call.true_cfg_scale=1,4"]) == [
        "--set call.true_cfg_scale=1,4: --set must give one value, got 1,4; write "
        "`--axis call.true_cfg_scale=1,4` for several"
    ]


def test_a_text_of_an_input_keeps_its_commas_on_the_command_line(
    tmp_path: Path,
) -> None:
    spec = read(tmp_path, BASE, axes=["call.system_prompt=You paint, well."])
    assert values_of(spec, "call.system_prompt") == ["You paint, well."]
