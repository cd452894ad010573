"""The parameter `shift`: the same option for every class that has one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.expand import Expansion, expand
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from storage.job import Model
from tests.unit import cards
from tests.unit.cards import CARD, FLOW_CARD, describe_fake, write_spec

CONFIG = dict(FLOW_CARD.scheduler_config)
FIXED = replace(FLOW_CARD, pipeline_class="StableDiffusion3Pipeline")
#: As Qwen-Image: the shift follows from the size.
DYNAMIC = replace(
    FLOW_CARD,
    model=Model(fingerprint="1" * 32, name="org/dynamic", family="other"),
    pipeline_class="QwenImagePipeline",
    scheduler_config={**CONFIG, "shift": 1.0, "use_dynamic_shifting": True},
)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"org/fixed": FIXED, "org/dynamic": DYNAMIC, "builtin:shapes": CARD}
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(folder: Path, rest: str, model: str = "org/fixed") -> Expansion:
    text = f"name: s\nbase: {{model: '{model}', prompt: a cat}}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def options_of(expansion: Expansion) -> list[dict[str, Any]]:
    jobs = [planned.job for planned in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [dict(job.scheduler_options) for job in jobs]


def test_an_axis_of_shifts_sets_the_option(tmp_path: Path) -> None:
    expansion = expand_text(tmp_path, "axes: {shift: [null, 1, 5.5]}")
    assert options_of(expansion) == [{}, {"shift": 1.0}, {"shift": 5.5}]
    assert [planned.cell for planned in expansion.jobs()] == [
        {"shift": "default"},
        {"shift": "1"},
        {"shift": "5.5"},
    ]


def test_a_shift_is_one_job_with_its_option(tmp_path: Path) -> None:
    by_option = "{class: flow_euler, options: {shift: 5}}"
    written = expand_text(tmp_path, f"axes: {{scheduler: [{by_option}]}}")
    asked = expand_text(tmp_path, "axes: {scheduler: [flow_euler], shift: [5]}")
    (one,), (other,) = written.jobs(), asked.jobs()
    assert one.job.key == other.job.key
    assert one.scheduler_name == other.scheduler_name == "flow_euler(shift=5.0)"


def test_the_models_own_shift_makes_no_job_of_its_own(tmp_path: Path) -> None:
    expansion = expand_text(tmp_path, "axes: {shift: [null, 3]}")
    assert options_of(expansion) == [{}]


def test_a_shift_takes_the_place_of_one_by_size(tmp_path: Path) -> None:
    axes = "axes: {scheduler: [flow_euler, flow_unipc], shift: [5]}"
    euler, unipc = options_of(expand_text(tmp_path, axes, "org/dynamic"))
    assert euler == {"shift": 5.0, "use_dynamic_shifting": False}
    assert unipc["flow_shift"] == 5.0
    assert unipc["use_dynamic_shifting"] is False


def test_flow_solvers_have_the_shift_under_their_own_name(tmp_path: Path) -> None:
    axes = "axes: {scheduler: [flow_dpmpp_2m, flow_heun], shift: [7]}"
    dpm, heun = options_of(expand_text(tmp_path, axes))
    assert dpm["flow_shift"] == 7.0
    assert heun == {"shift": 7.0}


@pytest.mark.parametrize(
    ("rest", "model", "message"),
    [
        (
            "axes: {shift: [2]}",
            "builtin:shapes",
            "shift must be left out for PNDMScheduler, which has none, got 2; use"
            " flow_euler, or leave it out",
        ),
        (
            "axes: {scheduler: [{class: flow_euler, options: {shift: 5}}], shift: [2]}",
            "org/fixed",
            "shift must be set once, got 5 from `shift` of the scheduler and 2 from"
            " `shift`; leave out one of the two",
        ),
        (
            "axes: {shift: [0]}",
            "org/fixed",
            "shift must be a number from 0.01 to 100, got 0",
        ),
    ],
)
def test_a_shift_that_cannot_be_is_refused(
    tmp_path: Path, rest: str, model: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        expand_text(tmp_path, rest, model)
    assert message in str(caught.value)
