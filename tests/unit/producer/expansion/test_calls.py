"""Inputs that only some pipelines have: which jobs they make, for which models."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.expand import Expansion, expand
from producer.models.cards import ModelCard
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.errors import SpecError
from tests.unit import cards
from tests.unit.cards import CARD, FLOW_CARD, describe_fake, write_spec

FLUX = replace(
    FLOW_CARD,
    model=replace(CARD.model, name="flux", fingerprint="1" * 32),
    pipeline_class="FluxPipeline",
    effects=Guidance(off=None, is_embedded=True, own_scale=1.0),
)
QWEN = replace(
    FLOW_CARD,
    model=replace(CARD.model, name="qwen", fingerprint="2" * 32),
    pipeline_class="QwenImagePipeline",
    effects=Guidance(off=None, own_scale=4.0),
)
SD = replace(CARD, effects=Guidance())
SDXL = replace(SD, pipeline_class="StableDiffusionXLPipeline")
SDXL = replace(SDXL, model=replace(CARD.model, name="sdxl"))
OTHER = replace(
    CARD,
    model=replace(CARD.model, name="other", fingerprint="3" * 32),
    pipeline_class="IFPipeline",
)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Sequence[ModelCard] = (FLUX, QWEN, SD, OTHER)
    monkeypatch.setattr(cards, "CARDS", {card.model.name: card for card in known})


def expand_text(folder: Path, rest: str, *, model: str, base: str = "") -> Expansion:
    text = f"name: s\nbase:\n  model: {model}\n  prompt: a cat\n{base}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def calls_of(expansion: Expansion) -> list[dict[str, Any]]:
    jobs = [planned.job for planned in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [job.call for job in jobs]


def jobs_of(expansion: Expansion) -> list[Any]:
    calls_of(expansion)
    return [planned.job for planned in expansion.jobs()]


def keys_of(expansion: Expansion) -> list[str]:
    return [planned.job.key for planned in expansion.jobs()]


def problems_of(folder: Path, rest: str, *, model: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, rest, model=model)
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


@pytest.mark.parametrize(
    ("model", "neutral", "other"),
    [
        ("flux", "max_sequence_length: 512", "max_sequence_length: 256"),
        ("'builtin:shapes'", "guidance_rescale: 0", "guidance_rescale: 0.7"),
        ("'builtin:shapes'", "guidance_rescale: null", "guidance_rescale: 1"),
    ],
)
def test_the_default_of_the_pipeline_changes_no_key(
    tmp_path: Path, model: str, neutral: str, other: str
) -> None:
    plain = keys_of(expand_text(tmp_path, "", model=model))
    same = expand_text(tmp_path, "", model=model, base=f"  call: {{{neutral}}}")
    changed = expand_text(tmp_path, "", model=model, base=f"  call: {{{other}}}")
    assert keys_of(same) == plain
    assert calls_of(same) == [{}]
    assert keys_of(changed) != plain


def test_an_axis_makes_a_job_for_each_value_and_labels_it(tmp_path: Path) -> None:
    rest = "axes: {call.max_sequence_length: [128, 512, null, 64]}"
    expansion = expand_text(tmp_path, rest, model="flux")
    assert calls_of(expansion) == [
        {"max_sequence_length": 128},
        {},
        {"max_sequence_length": 64},
    ]
    assert [planned.cell for planned in expansion.jobs()] == [
        {"call.max_sequence_length": label} for label in ("128", "512", "64")
    ]
    (sentence,) = expansion.duplicates
    assert "call.max_sequence_length: 512 and null give the same jobs" in sentence


SIZES = "call.original_size: [null, [512, 768], [1024, 512]]"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (f"axes: {{{SIZES}}}", {768: [(), (1024, 512)]}),
        (
            f"axes: {{width: [768, 512], {SIZES}}}",
            {768: [(), (1024, 512)], 512: [(), (512, 768), (1024, 512)]},
        ),
        (
            "axes: {width: [512, 768]}\n"
            "include: [{width: [512, 768], call.original_size: [[512, 768]]}]",
            {512: [(), (512, 768)], 768: [()]},
        ),
    ],
)
def test_the_size_of_the_image_is_no_size_of_its_own_in_sdxl(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rest: str,
    expected: dict[int, list[tuple[int, ...]]],
) -> None:
    monkeypatch.setattr(cards, "CARDS", {"sdxl": SDXL})
    expansion = expand_text(
        tmp_path, rest, model="sdxl", base="  width: 768\n  height: 512"
    )
    found: dict[int, list[tuple[int, ...]]] = {}
    for job in jobs_of(expansion):
        found.setdefault(job.width, []).append(job.call.get("original_size", ()))
    assert found == expected
    said = "sdxl: call.original_size has no effect where it is the size of the image"
    assert any(said in each for each in expansion.duplicates)


def test_a_job_is_found_under_the_size_that_earlier_keys_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "CARDS", {"sdxl": SDXL})
    base = "  width: 512\n  height: 512\n  call: {target_size: [512, 512]}"
    (planned,) = expand_text(tmp_path, "", model="sdxl", base=base).jobs()
    assert planned.job.call == {}
    worded = replace(planned.job, extras={"call.target_size": [512, 512]})
    assert worded.key in planned.former_keys


def test_a_list_is_a_list_in_the_job_and_in_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "CARDS", {"sdxl": SDXL})
    rest = "axes: {call.original_size: [[512, 768], [1024, 1024]]}"
    expansion = expand_text(tmp_path, rest, model="sdxl")
    sizes = [[512, 768], [1024, 1024]]
    extras = [planned.job.extras for planned in expansion.jobs()]
    assert [each["call.original_size"] for each in extras] == sizes
    # To the pipeline it is a tuple.
    assert calls_of(expansion) == [{"original_size": tuple(size)} for size in sizes]
    assert [planned.cell["call.original_size"] for planned in expansion.jobs()] == [
        "[512,768]",
        "[1024,1024]",
    ]


def test_an_input_of_another_pipeline_is_refused_with_those_of_this_one(
    tmp_path: Path,
) -> None:
    rest = "axes:\n  steps: [4]\n  call.true_cfg_scale: [2]"
    assert problems_of(tmp_path, rest, model="'builtin:shapes'") == [
        "sweep.yaml line 8: call.true_cfg_scale must be left out for a"
        " StableDiffusionPipeline, which has no such input, got 2; its own are"
        " call.guidance_rescale"
    ]
    assert problems_of(tmp_path, rest, model="other") == [
        "sweep.yaml line 8: call.true_cfg_scale must be left out for a"
        " IFPipeline, which has no such input, got 2"
    ]


def test_a_value_above_what_the_pipeline_accepts_is_refused(tmp_path: Path) -> None:
    rest = "axes: {call.max_sequence_length: {start: 256, count: 3, step: 256}}"
    assert problems_of(tmp_path, rest, model="flux") == [
        "sweep.yaml line 6: call.max_sequence_length must be at most 512 for a"
        " FluxPipeline, got 768; lower it"
    ]


def test_each_model_of_a_sweep_has_inputs_of_its_own(tmp_path: Path) -> None:
    rest = (
        "axes:\n  which:\n"
        "    - {label: a, set: {model: flux, call: {max_sequence_length: 64}}}\n"
        "    - {label: b, set: {model: 'builtin:shapes', call.guidance_rescale: 1}}\n"
    )
    expansion = expand_text(tmp_path, rest, model="flux")
    assert calls_of(expansion) == [{"max_sequence_length": 64}, {"guidance_rescale": 1}]


def test_entries_that_name_an_input_leave_out_and_add(tmp_path: Path) -> None:
    rest = (
        "axes: {guidance: [3, 5], call.guidance_rescale: [0, 0.7]}\n"
        "exclude: [{call.guidance_rescale: [null, 0.7], guidance: 5}]\n"
        "include: [{call: {guidance_rescale: 0.2}, guidance: 9}]\n"
    )
    expansion = expand_text(tmp_path, rest, model="'builtin:shapes'")
    found = [(planned.job.guidance, planned.job.call) for planned in expansion.jobs()]
    assert found == [
        (3.0, {}),
        (3.0, {"guidance_rescale": 0.7}),
        (9.0, {"guidance_rescale": 0.2}),
    ]


def test_an_input_that_only_an_entry_names_has_its_default_elsewhere(
    tmp_path: Path,
) -> None:
    rest = "axes: {steps: [4, 8]}\ninclude: [{call: {guidance_rescale: 0.2}}]"
    expansion = expand_text(tmp_path, rest, model="'builtin:shapes'")
    assert calls_of(expansion) == [{}, {}, {"guidance_rescale": 0.2}]
    rest = "axes: {steps: [4, 8]}\nexclude: [{call.guidance_rescale: 0, steps: 4}]"
    expansion = expand_text(tmp_path, rest, model="'builtin:shapes'")
    assert [planned.job.steps for planned in expansion.jobs()] == [8]


def test_a_scale_of_its_own_makes_a_negative_prompt_count(tmp_path: Path) -> None:
    rest = "axes: {call.true_cfg_scale: [0.5, 1, 4], negative_prompt: ['', a, b]}"
    expansion = expand_text(tmp_path, rest, model="flux")
    found = [(job.negative_prompt, job.call) for job in jobs_of(expansion)]
    assert found == [
        ("", {}),
        ("a", {"true_cfg_scale": 4.0}),
        ("b", {"true_cfg_scale": 4.0}),
    ]
    assert list(expansion.duplicates) == [
        "flux: call.true_cfg_scale has no effect without a negative prompt, or at 1 or "
        "less: 3 values make one job",
        "flux: negative_prompt has no effect unless call.true_cfg_scale is above 1: 3 "
        "values make one job",
    ]


def test_the_default_scale_of_qwen_may_be_turned_off(tmp_path: Path) -> None:
    rest = "axes: {call.true_cfg_scale: [1, 4, 6], negative_prompt: ['', a]}"
    expansion = expand_text(tmp_path, rest, model="qwen")
    found = [(j.guidance, j.negative_prompt, j.call) for j in jobs_of(expansion)]
    assert found == [
        (1.0, "", {}),
        (4.0, "a", {}),
        (6.0, "a", {"true_cfg_scale": 6.0}),
    ]


def test_a_scale_without_a_negative_prompt_is_left_out_and_said(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path, "", model="flux", base="  call: {true_cfg_scale: 4}"
    )
    assert calls_of(expansion) == [{}]
    assert list(expansion.duplicates) == [
        "flux: call.true_cfg_scale has no effect without a negative prompt, or at 1 or "
        "less, and is left out"
    ]


def test_what_is_read_with_guidance_only_makes_one_job_without(tmp_path: Path) -> None:
    rest = "axes: {guidance: [1, 5], call.guidance_rescale: [0, 0.3, 0.7]}"
    expansion = expand_text(tmp_path, rest, model="'builtin:shapes'")
    found = [(job.guidance, job.call) for job in jobs_of(expansion)]
    assert found == [
        (1.0, {}),
        (5.0, {}),
        (5.0, {"guidance_rescale": 0.3}),
        (5.0, {"guidance_rescale": 0.7}),
    ]
    assert list(expansion.duplicates) == [
        "builtin:shapes: call.guidance_rescale has no effect without guidance: 3 values"
        " make one job"
    ]
