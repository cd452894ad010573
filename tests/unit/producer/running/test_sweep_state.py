"""How far a sweep is, in numbers and in words."""

from dataclasses import replace
from typing import Any

import pytest

from producer import options
from producer.commands.plan import size
from producer.commands.run import _conclude, _News
from producer.dashboard.view import notes
from producer.display.amounts import duration
from producer.options import AT_LIMIT
from producer.running.local_workers import LocalWorkers
from producer.running.pace import Pace
from producer.running.progress import Lines
from producer.running.sweep_state import Standing, describe_limits, standing
from storage.fleet.progress import Worker
from storage.jobs.budgets import Budget, Limits
from storage.jobs.results import record_done, record_failure
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    submit,
    take,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def make_standing(**changes: object) -> Standing:
    values = {
        "sweep": "night",
        "state": "active",
        "total": 10,
        "pending": 4,
        "leased": 2,
        "done": 3,
        "failed": 1,
        "quarantined": 0,
        "images_per_s": 0.5,
        "eta_s": 12.0,
    }
    return Standing(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (420, "7 min"),
        (12_000, "3 h 20 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_seconds_are_said_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (812_000, "812 kB"),
        (3.1e9, "3.1 GB"),
        (2e15, "2,000 TB"),
    ],
)
def test_bytes_are_said_as_people_say_them(count: float, text: str) -> None:
    assert size(count) == text


def test_a_standing_counts_every_state(database: Database) -> None:
    sweep = submit(database, plan_seeds(0, 1, 2, 3))
    first, second, _ = take(database, limit=3)
    record_done(
        database, {first.id: make_result()}, worker="cpu0", environment=ENVIRONMENT
    )
    record_failure(database, second.id, owner="host:1:1", error="it is bad")
    now = standing(database, sweep)
    assert (now.total, now.pending, now.leased) == (4, 1, 1)
    assert (now.done, now.failed, now.quarantined) == (1, 1, 0)
    assert now.unmade == 2
    assert take_these(database, [first.job.key]) == []


def test_progress_for_a_log_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = Lines(make_standing())
    show(make_standing(), [])
    show(make_standing(done=4), [])
    show(make_standing(pending=0, leased=0, done=9), [])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("night: 4 of 10 (40.0%)")
    assert lines[-1].startswith("night: 10 of 10 (100.0%)")
    assert "1 failed" in lines[-1]
    assert len(lines) == 2


def test_a_log_says_what_the_workers_do_before_the_first_image(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.running.progress.PROGRESS_LINE_S", 0.0)
    waiting = make_standing(done=0, failed=0, pending=8)
    show = Lines(waiting)
    show(waiting, [])
    for phase in ("starting", "downloading", "loading", "painting"):
        show(waiting, [make_worker(phase="idle"), make_worker(phase=phase)])
    show(waiting, [make_worker(phase="painting", silent_s=99.0)])
    assert capsys.readouterr().err.splitlines() == [
        "night: 0 of 10 (0.0%)",
        "night: 0 of 10 (0.0%) starting the workers",
        "night: 0 of 10 (0.0%) downloading the model",
        "night: 0 of 10 (0.0%) loading the model",
        "night: 0 of 10 (0.0%) painting",
        "night: 0 of 10 (0.0%)",
    ]


def test_the_share_in_a_log_is_that_of_the_images_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = Lines(make_standing())
    show(make_standing(), [make_worker(in_hand=1.9)])
    said = capsys.readouterr().err
    assert said == "night: 4 of 10 (40.0%) painting · 1 failed\n"


def test_every_line_of_a_log_says_what_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.running.progress.PROGRESS_LINE_S", 0.0)
    waiting = make_worker(phase="waiting", detail="1.0 GB must stay free")
    show = Lines(make_standing())
    for _ in range(2):
        show(make_standing(), [make_worker(phase="idle"), waiting])
    show(make_standing(), [make_worker(phase="backoff")])
    line = "night: 4 of 10 (40.0%) waiting: 1.0 GB must stay free · 1 failed"
    assert capsys.readouterr().err.splitlines() == [
        line,
        line,
        "night: 4 of 10 (40.0%) every worker pauses before its next start · 1 failed",
    ]


def test_while_all_wait_no_time_left_is_said() -> None:
    evening = Evening()
    evening.pass_time(5, done=5, phase="painting")
    assert evening.pass_time(1, done=5, phase="waiting") == "waiting"
    assert (
        evening.pass_time(1, done=5, phase="backoff")
        == "every worker pauses before its next start"
    )
    said = evening.pass_time(0, done=5, phase="painting")
    assert said == "1.00 images/s · 5.0 s left"


class Evening:
    """A sweep of ten images, and a clock that only the test moves."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.pace = Pace(self.standing(0), clock=lambda: self.time_s)

    def standing(self, done: int) -> Standing:
        return make_standing(done=done, failed=0, pending=8 - done, leased=2)

    def pass_time(self, seconds: float, *, done: int, models: int = 1, **doing: Any):
        self.time_s += seconds
        worker = make_worker(**doing)
        self.pace.look(self.standing(done), [worker], models=models)
        return self.pace.text()


def test_loading_is_no_part_of_the_rate() -> None:
    evening = Evening()
    assert evening.pass_time(100, done=0, phase="loading") == "loading the model"
    assert evening.pass_time(1, done=0, phase="painting") == "painting"
    said = evening.pass_time(4, done=5, phase="painting")
    assert said == "1.00 images/s · 5.0 s left"


def test_models_that_are_still_to_be_loaded_are_part_of_the_time_left() -> None:
    evening = Evening()
    evening.pass_time(100, done=0, phase="loading", models=2)
    said = evening.pass_time(5, done=5, phase="painting", models=2)
    assert said == "1.00 images/s · 2 min left"
    said = evening.pass_time(50, done=5, phase="loading", models=1)
    assert said == "loading the model · 80 s left"
    assert evening.pass_time(0, done=5, phase="painting") == (
        "1.00 images/s · 5.0 s left"
    )


def test_steps_of_images_in_hand_are_progress() -> None:
    evening = Evening()
    evening.pass_time(10, done=0, phase="painting", in_hand=0.5)
    assert evening.pass_time(10, done=0, phase="painting", in_hand=1.0) == (
        "20 s an image · 3 min left"
    )
    assert evening.pace.ended == 1.0
    evening.pass_time(10, done=0, phase="painting", in_hand=0.0)  # it was killed
    assert evening.pace.ended == 0.0
    # Of what workers have in hand, every job has its share.
    worker = make_worker(in_hand=6.0)
    evening.pace.look(evening.standing(0), [worker], others=6)
    assert evening.pace.ended == 1.5
    freed = make_standing(done=0, failed=0, pending=10, leased=0)
    evening.pace.look(freed, [worker])  # it died, and its row is there yet
    assert evening.pace.ended == 0.0


def test_a_rate_is_taken_from_an_image_at_the_least() -> None:
    evening = Evening()
    for _ in range(9):
        said = evening.pass_time(100, done=0, phase="painting", in_hand=0.5)
    assert said.startswith("1,800 s an image · ")
    said = evening.pass_time(100, done=1, phase="painting", in_hand=0.0)
    assert said.startswith("1,000 s an image · ")


def make_worker(**changes: Any) -> Worker:
    return replace(
        Worker(
            name="gpu0",
            host="night3",
            gpu="H200",
            phase="painting",
            detail="a model",
            images=7,
            images_per_s=None,
            silent_s=1.0,
        ),
        **changes,
    )


def test_a_run_that_somebody_paused_says_both_ways_to_go_on(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["nightsweep", "run", "night.yaml"])
    paused = make_standing(state="paused", failed=0, pending=6, leased=0, done=4)
    assert _conclude(paused, LocalWorkers(settings, {})) == 1
    program = options.program()
    assert capsys.readouterr().err.splitlines() == [
        "night is paused.",
        f"6 images unmade; go on here with `{program} run night.yaml`, or let workers "
        f"elsewhere go on with `{program} resume night`.",
    ]


def test_who_restarts_after_a_pause_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    news = _News()
    backoff = make_worker(phase="backoff", detail="its device failed")
    for _ in range(2):
        news.tell([backoff, make_worker(name="gpu1")])
        news.tell([make_worker()])
    said = capsys.readouterr().err
    assert said == "Worker gpu0 on night3 restarts after a pause: its device failed\n"


def test_an_outage_is_said_when_it_begins_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    news = _News()
    news.tell([make_worker()])
    news.tell_reason("the database is away")
    news.tell([make_worker(phase="waiting", detail="Redis is away")])
    news.tell([make_worker()])
    said = capsys.readouterr().err
    assert said == "Waiting: the database is away\nGoing on.\n"


def test_what_a_silent_worker_said_is_old(capsys: pytest.CaptureFixture[str]) -> None:
    news = _News()
    news.tell([make_worker(phase=each, silent_s=61) for each in ("backoff", "waiting")])
    assert not capsys.readouterr().err


def test_a_run_at_its_limit_says_what_is_left_and_how_to_go_on(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["nightsweep", "run", "night.yaml"])
    reached = Budget(
        limits=Limits(gpu_s=3600.0), used_s=3610.0, made=4, reached="gpu_s"
    )
    stopped = make_standing(
        state="paused", reason="its hours are used", failed=0, leased=0, budget=reached
    )
    assert _conclude(stopped, LocalWorkers(settings, {})) == AT_LIMIT
    program = options.program()
    assert capsys.readouterr().err.splitlines() == [
        "night is paused: its hours are used.",
        f"night: 4 images made in 1.00 GPU-hours, 4 images left. `{program} resume "
        "night` goes on without limits, or with those that you give it, such as "
        "--gpu-hours 4.",
        f"To go on here, with the same limits anew: {program} run night.yaml",
    ]


def test_limits_are_said_while_they_matter_and_on_every_screen() -> None:
    budget = Budget(limits=Limits(images=5))
    under_way = make_standing(budget=budget)
    (note,) = notes([under_way])
    assert note.text == describe_limits(under_way) == "night stops after 5 images."
    assert describe_limits(make_standing()) == ""
    assert describe_limits(replace(under_way, state="paused")) == ""
    assert describe_limits(replace(under_way, pending=0, leased=0)) == ""
    reached = replace(budget, made=5, reached="images")
    at_limit = replace(under_way, state="paused", budget=reached)
    assert "5 images made in 0.00 GPU-hours, 6 images left." in describe_limits(
        at_limit
    )
