"""Schedules: lists of timesteps or sigmas in place of a number of steps."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from storage.job import Model
from tests.unit import cards
from tests.unit.cards import CARD, FLOW_CARD, describe_fake, write_spec

FLUX = replace(
    FLOW_CARD,
    model=Model(fingerprint="1" * 32, name="org/flux", family="flux"),
    pipeline_class="FluxPipeline",
)
HUNYUAN = replace(
    CARD,
    model=Model(fingerprint="2" * 32, name="org/hunyuan", family="other"),
    pipeline_class="HunyuanDiTPipeline",
)
AYS = "{timesteps: [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]}"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {card.model.name: card for card in (CARD, FLUX, HUNYUAN)}
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(
    folder: Path, rest: str, *, model: str = "builtin:shapes", base: str = ""
) -> Expansion:
    text = f"name: s\nbase: {{model: '{model}', prompt: a cat{base}}}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def test_the_list_decides_the_steps_and_the_evaluations(tmp_path: Path) -> None:
    rest = "axes: {schedule: [null, {timesteps: [999, 500, 20]}]}"
    own, listed = expand_text(tmp_path, rest, base=", scheduler: heun").jobs()
    assert (own.job.steps, own.job.extras) == (20, {})
    assert (listed.job.steps, listed.evaluations) == (3, 5)
    assert listed.job.schedule == {"timesteps": [999, 500, 20]}
    assert listed.cell == {"schedule": '["timesteps",999,500,20]'}
    assert listed.job.identity["schedule"] == ["timesteps", 999, 500, 20]


def test_ays_is_one_job_with_its_list_and_keeps_its_name(tmp_path: Path) -> None:
    rest = "axes: {scheduler: [dpmpp_2m], schedule: [ays]}"
    (named,) = expand_text(tmp_path, rest).jobs()
    (listed,) = expand_text(tmp_path, rest.replace("ays", AYS)).jobs()
    assert named.job.key == listed.job.key
    assert named.cell["schedule"] == "ays"
    assert named.job.steps == 10


def test_sigmas_of_euler_include_the_end(tmp_path: Path) -> None:
    rest = "axes: {scheduler: [euler], schedule: [{sigmas: [14, 3, 0.5, 0]}]}"
    (planned,) = expand_text(tmp_path, rest).jobs()
    assert (planned.job.steps, planned.evaluations) == (3, 3)


def test_a_trailing_list_is_not_rounded_to_one_step_more(tmp_path: Path) -> None:
    numbers = ", ".join(str(999 - 16 * index) for index in range(61))
    one = "{class: euler, options: {timestep_spacing: trailing}}"
    rest = f"axes: {{scheduler: [{one}], schedule: [{{timesteps: [{numbers}]}}]}}"
    (planned,) = expand_text(tmp_path, rest).jobs()
    assert planned.evaluations == planned.job.steps == 61


def test_steps_that_agree_may_be_named(tmp_path: Path) -> None:
    rest = "axes: {scheduler: [euler], schedule: [ays]}"
    (planned,) = expand_text(tmp_path, rest, base=", steps: 10").jobs()
    assert planned.job.steps == 10


def test_a_pattern_leaves_out_what_takes_no_list(tmp_path: Path) -> None:
    rest = "axes: {scheduler: ['ddi*', 'eule*'], schedule: [ays]}"
    with pytest.raises(SpecError, match="got DDIMScheduler; use ddpm"):
        expand_text(tmp_path, rest)
    rest = "axes: {scheduler: ['eule*'], schedule: [ays]}"
    found = [planned.scheduler_name for planned in expand_text(tmp_path, rest).jobs()]
    assert found == ["euler", "euler_sgm_uniform"]


@pytest.mark.parametrize(
    ("rest", "model", "message"),
    [
        (
            "axes: {scheduler: [euler], schedule: [ays], steps: [20]}",
            "builtin:shapes",
            "steps must be 10 with this schedule, whose list decides, got 20; leave"
            " `steps` out, or exclude the pair",
        ),
        (
            "axes: {scheduler: [ddim], schedule: [ays]}",
            "builtin:shapes",
            "a schedule of timesteps needs a scheduler that takes them from a"
            " StableDiffusionPipeline, got DDIMScheduler; use ddpm, dpmpp_2m, dpmpp_2s,"
            " euler or heun",
        ),
        (
            "axes: {scheduler: [euler_karras], schedule: [ays]}",
            "builtin:shapes",
            "`use_karras_sigmas` of EulerDiscreteScheduler must be false beside a"
            " schedule, which it would replace, got true; leave out one of the two",
        ),
        (
            "axes: {schedule: [ays]}",
            "org/flux",
            "`schedule: ays` is for StableDiffusionPipeline or"
            " StableDiffusionXLPipeline, got a FluxPipeline; write a list such as"
            " {sigmas: [1, 0.8, 0.4]}",
        ),
        (
            "axes: {schedule: [{timesteps: [900, 100]}]}",
            "org/flux",
            "a FluxPipeline takes no list of timesteps, got a schedule; write sigmas",
        ),
        (
            "axes: {scheduler: [flow_unipc], schedule: [{sigmas: [1, 0.5]}]}",
            "org/flux",
            "a schedule of sigmas needs a scheduler that takes them from a"
            " FluxPipeline, got UniPCMultistepScheduler; use flow_euler",
        ),
        (
            "axes: {schedule: [{sigmas: [2, 0.5]}]}",
            "org/flux",
            "the sigmas of a schedule must be from 0 to 1 on this model, got [2, 0.5]",
        ),
        (
            "axes: {schedule: [{sigmas: [1, 0.5, 0]}]}",
            "org/flux",
            "the sigmas of a schedule must end above 0, since the scheduler adds the 0",
        ),
        (
            "axes: {schedule: [{sigmas: [0.5, 0.5]}]}",
            "org/flux",
            "the sigmas of a schedule must fall, got [0.5, 0.5]; sort them",
        ),
        (
            "axes: {schedule: [{timesteps: [900, 100]}]}",
            "org/hunyuan",
            "a HunyuanDiTPipeline takes no list of timesteps, got a schedule; set"
            " `steps`",
        ),
        (
            "axes: {schedule: [karras]}",
            "builtin:shapes",
            "schedule must be ays or a list with its kind, got karras; write ays,",
        ),
        (
            "axes: {schedule: [{sigmas: [1], timesteps: [9]}]}",
            "builtin:shapes",
            "a schedule must have one of timesteps and sigmas, got timesteps, sigmas",
        ),
        (
            "axes: {schedule: [{timesteps: 7}]}",
            "builtin:shapes",
            "timesteps must be a list of 1 to 1001 numbers, got no list",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    tmp_path: Path, rest: str, model: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        expand_text(tmp_path, rest, model=model)
    assert message in str(caught.value)
