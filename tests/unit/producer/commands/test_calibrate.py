"""Calibrations: what is measured, what is concluded, what is refused."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer.calibration.conclusions import USUAL, choose_width, plan_jobs, speed_of
from producer.cli import cli
from producer.models.cards import ModelCard
from producer.running import programs
from storage.catalogue.scheduler_sets import choose
from storage.catalogue.schedulers import effective_options
from storage.errors import UsageError
from storage.host.worker_ids import my_name
from storage.job import PlannedJob
from storage.sql.database import Database
from tests.builders import make_planned, plan_seeds, submit, take
from tests.unit.cards import CARD, FLOW_CARD


def plan(
    *names: str, card: ModelCard = CARD, steps: tuple[int, ...] = (4,), **base: Any
) -> list[PlannedJob]:
    return plan_jobs(card, names=names, steps=steps, base=base)


def names_of(planned: list[PlannedJob]) -> list[str]:
    return [one.scheduler_name for one in planned]


def calibrate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *words])


def test_every_scheduler_and_step_count_is_a_strict_job() -> None:
    planned = plan("ddim", "heun", steps=(4, 8))
    cells = [(one.scheduler_name, one.job.steps, one.evaluations) for one in planned]
    assert cells == [("ddim", 4, 4), ("ddim", 8, 8), ("heun", 4, 7), ("heun", 8, 15)]
    assert all(one.job.parameter("strict") for one in planned)
    assert len({one.job.group for one in planned}) == 1


def test_the_usual_schedulers_are_measured_by_default() -> None:
    assert names_of(plan()) == list(USUAL)


def test_a_model_that_the_usual_ones_do_not_fit_has_its_own() -> None:
    own = ["flow_euler", "flow_heun", "flow_unipc", "flow_dpmpp_2m"]
    assert names_of(plan(card=FLOW_CARD)) == own


@pytest.mark.parametrize(
    ("word", "count"), [("all", 15), ("dpmpp_3m*", 5), ("*_exponential", 4)]
)
def test_words_for_several_are_what_they_are_in_a_spec(word: str, count: int) -> None:
    several = choose(word, family="sd", config=CARD.scheduler_config).schedulers
    assert len(several) == count
    assert [
        (one.job.scheduler_class, one.job.scheduler_options) for one in plan(word)
    ] == [
        (each.class_name, effective_options(each, CARD.scheduler_config))
        for each in several
    ]


def test_a_scheduler_that_is_named_twice_is_measured_once() -> None:
    assert (
        names_of(plan("ddim", "DDIMScheduler", "all", steps=(4, 4))).count("ddim") == 1
    )


def test_what_is_not_said_is_as_in_a_spec() -> None:
    (one,) = plan("ddim")
    assert (one.job.width, one.job.dtype, one.job.guidance) == (64, "float32", 2.5)
    (one,) = plan("ddim", width=128, dtype="bfloat16", guidance=1.0)
    assert (one.job.width, one.job.dtype, one.job.guidance) == (128, "bfloat16", 1)


def test_all_that_a_model_cannot_do_is_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        plan("flow_euler", "lcm", steps=(4, 60), width=60)
    told_width, told_flow, told_steps = str(told.value).splitlines()
    assert "`width` has to be divisible by 8 but is 60" in told_width
    assert "FlowMatchEulerDiscreteScheduler" in told_flow
    assert "steps of LCMScheduler must be 1 to" in told_steps


@pytest.mark.parametrize(
    ("rates", "width"),
    [
        ({1: 1.0, 2: 1.9, 4: 3.5}, 4),
        ({1: 1.0, 2: 1.9, 4: 1.95, 8: 1.94}, 2),
        ({1: 1.0, 2: 0.9, 4: 0.8}, 1),
        ({1: 1.0, 2: 1.9, 4: None}, 2),
        ({1: None}, None),
        ({}, None),
    ],
)
def test_the_narrowest_of_nearly_the_best_rate_is_chosen(
    rates: dict[int, float | None], width: int | None
) -> None:
    assert choose_width(rates) == width


def test_one_slow_image_does_not_move_a_speed() -> None:
    speed = speed_of(
        make_planned(),
        [0.5, 0.25, 9.0],
        gpu="NVIDIA H200",
        evaluations=20,
        measured_at="2026-01-02T03:04:05.678901+00:00",
    )
    assert (speed.median_s, speed.least_s, speed.most_s) == (0.5, 0.25, 9.0)
    assert (speed.images, speed.scheduler, speed.steps) == (3, "ddim", 20)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "4,x"), "steps must be an integer from 1 to 1000, got x"),
        (("--steps", "0"), "steps must be an integer from 1 to 1000, got 0"),
        (("--images", "2"), "2 is not in the range x>=3"),
        (("--dtype", "float8"), "dtype must be one of float32"),
        (("--guidance", "-1"), "guidance must be a number from 0 to 100"),
        (("--width", "65"), "`width` has to be divisible by 8 but is 65"),
        (("--device", "gpu"), "--device must be cpu, or cuda:0 and so on, got 'gpu'"),
        (("--scheduler", "dimm"), "did you mean"),
        (("--scheduler", "flow_euler"), "flow"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: tuple[str, ...], message: str
) -> None:
    said = calibrate("builtin:shapes", *words)
    assert said.exit_code == 2
    assert message in said.output
    assert "Traceback" not in said.output


def test_an_unknown_model_is_bad_usage() -> None:
    said = calibrate("shapes")
    assert said.exit_code == 2
    assert "a model is builtin:shapes" in said.output


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _name: None)
    said = calibrate("builtin:shapes")
    assert said.exit_code == 2
    assert "pip install 'nightsweep[torch]'" in said.output
    assert "Warning" not in said.output


@pytest.mark.parametrize(
    ("owner", "is_here"),
    [(my_name(), True), ("elsewhere.12345678:1:1", False)],
    ids=["here", "elsewhere"],
)
def test_work_on_this_machine_is_warned_of(
    owner: str, is_here: bool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(1, 2))
    take(database, owner)
    monkeypatch.setattr(programs, "find_spec", lambda _name: None)
    said = calibrate("builtin:shapes")
    assert ("workers of this machine are at work (1)" in said.output) == is_here
