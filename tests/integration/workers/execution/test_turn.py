"""A turn at the GPU, with a painter that is a stand-in: real SQL, files and Redis."""

import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from celery.worker import state
from PIL import Image

from storage.broker.queue import waiting
from storage.errors import DatabaseError, DeviceError, UnfitError
from storage.files.images import ImageFolder
from storage.fleet.progress import list_workers
from storage.job import Job
from storage.jobs import blocked_groups
from storage.jobs.blocked_groups import blocked_jobs
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.schema import workers
from tests import stand_in
from tests.builders import (
    SHAPES,
    job_rows,
    make_job,
    make_planned,
    plan_seeds,
    states,
    submit,
    take,
)
from tests.contexts import OWNER, make_context
from tests.processes import PATIENCE_S, wait_until
from tests.stand_in import StandIn
from tests.unit.storage.fleet.test_registry import ENTRY
from tests.work import Unhurried
from workers.execution import context as context_module
from workers.execution import prefetch as prefetch_module
from workers.execution import turn as turn_module
from workers.execution.heartbeat import Heartbeat
from workers.execution.turn import Turn
from workers.painting import Painter, StoppedError, Work
from workers.process import registration as registration_module
from workers.process.registration import Registration
from workers.process.tasks import _take, register, should_stop
from workers.scoring.score_turn import ScoreTurn
from workers.supervision.reconciler import reconcile
from workers.vitals import phases
from workers.vitals import reports as reports_module
from workers.vitals.exits import EXIT_UNFIT
from workers.vitals.recent import MOST_SURPRISES, Recent
from workers.vitals.reports import Listener, Report, Reporter
from workers.vitals.tally import Tally

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SMALL = {"width": 8, "height": 8, "steps": 1}
GROUP = make_job(**SMALL).group
OTHER_MODEL = replace(SHAPES, fingerprint="1" * 32)


@pytest.fixture
def make_turn(database: Database, settings: Settings) -> Callable[..., Turn]:
    def make(painter: Painter | None = None, **changes: Any) -> Turn:
        context = make_context(database, settings, **changes)
        return Turn(context=context, painter=painter or StandIn())

    return make


def keys_of(database: Database) -> list[str]:
    return [row.key for row in job_rows(database)]


def test_a_turn_makes_the_group_of_its_message_in_order(
    make_turn: Callable[..., Turn], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(*range(7), **SMALL))
    keys = keys_of(database)
    painter = StandIn()
    make_turn(painter).take(keys[-1:])
    assert set(states(database).values()) == {"done"}
    assert painter.painted == keys
    with Image.open(ImageFolder(settings.images).path(keys[0])) as image:
        assert image.size == (8, 8)


def test_a_message_may_name_jobs_of_several_groups(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    planned = [
        *plan_seeds(0, model=OTHER_MODEL, **SMALL),
        *plan_seeds(1, dtype="float32", **SMALL),
    ]
    submit(database, planned)
    make_turn().take(keys_of(database))
    assert states(database) == {0: "done", 1: "done"}


def test_a_turn_goes_on_with_other_sizes_for_the_model_that_is_loaded(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(
        database,
        [
            *plan_seeds(0, **SMALL),
            *plan_seeds(1, 2, **{**SMALL, "width": 16}),
            *plan_seeds(3, dtype="float32", **SMALL),
            *plan_seeds(4, model=OTHER_MODEL, **SMALL),
        ],
    )
    make_turn().take(keys_of(database)[:1])
    made = dict.fromkeys((0, 1, 2), "done")
    assert states(database) == {**made, 3: "pending", 4: "pending"}


def test_a_message_whose_jobs_are_made_goes_on_with_their_group(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    turn = make_turn()
    turn.take(keys_of(database))
    submit(database, plan_seeds(1, **SMALL), name="other")
    turn.take(keys_of(database)[:1])
    assert states(database) == {0: "done", 1: "done"}


def test_the_most_urgent_group_comes_first_whatever_the_message_names(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL), priority=5)
    urgent = plan_seeds(1, model=OTHER_MODEL, **SMALL)
    submit(database, urgent, name="urgent", priority=2)
    painter = StandIn()
    make_turn(painter).take(keys_of(database)[:1])
    assert painter.painted == keys_of(database)[::-1]


def test_what_is_more_urgent_interrupts_a_group(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefetch_module, "PEERS_POLL_S", 0.0)
    submit(database, plan_seeds(*range(20), **SMALL))

    class Interrupted(StandIn):
        def _step(self, work: Work, live: list[Any]) -> None:
            if len(self.painted) == 3:
                urgent = plan_seeds(99, model=OTHER_MODEL, **SMALL)
                submit(database, urgent, name="urgent", priority=1)
            if len(self.painted) >= 3:
                wait_until(lambda: work._ended or not work._is_needed())  # type: ignore[attr-defined]
            super()._step(work, live)

    painter = Interrupted()
    make_turn(painter).take(keys_of(database)[:1])
    assert set(states(database).values()) == {"done"}
    urgent = keys_of(database)[-1]
    assert 3 <= painter.painted.index(urgent) <= 5


def test_a_turn_ends_when_its_time_is_up_and_paints_what_it_holds(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    painter = StandIn()
    hours = SimpleNamespace(monotonic=lambda: 3600.0 * (len(painter.painted) > 9))
    monkeypatch.setattr(turn_module, "time", hours)
    monkeypatch.setattr(prefetch_module, "PEERS_POLL_S", 0.0)
    submit(database, plan_seeds(*range(200), **{**SMALL, "steps": 2}))
    make_turn(painter).take(keys_of(database))
    found = list(states(database).values())
    assert 9 < found.count("done") < 200
    assert "leased" not in found


def test_a_message_of_unknown_jobs_does_nothing(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    make_turn().take(["f" * 32])
    assert states(database) == {0: "pending"}


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("fail", "this job must fail, and does"),
        ("raise", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_job_that_fails_says_why_and_holds_up_no_other(
    make_turn: Callable[..., Turn], database: Database, prompt: str, error: str
) -> None:
    bad = make_planned(seed=0, prompt=prompt, **SMALL)
    submit(database, [bad, *plan_seeds(1, 2, **SMALL)])
    make_turn().take(keys_of(database))
    assert states(database) == {0: "failed", 1: "done", 2: "done"}
    assert job_rows(database)[0].error == error


def test_a_stop_hands_unmade_jobs_back_without_counting_an_attempt(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, 1, 2, **{**SMALL, "steps": 3}))
    painter = StandIn()
    turn = make_turn(painter, should_stop=lambda: len(painter.painted) > 1)
    with pytest.raises(StoppedError):
        turn.take(keys_of(database))
    assert states(database) == {0: "done", 1: "pending", 2: "pending"}
    assert [row.attempts for row in job_rows(database)] == [1, 0, 0]


def test_a_group_that_cannot_be_made_is_set_aside_and_counts_against_no_job(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep = submit(database, plan_seeds(0, 1, prompt="unfit", **SMALL))
    painter = StandIn()
    turn = make_turn(painter)
    turn.take(keys_of(database))
    turn.take(keys_of(database))
    assert len(painter.painted) == 1
    assert states(database) == {0: "pending", 1: "pending"}
    assert {row.attempts for row in job_rows(database)} == {0}
    reason = "the model must be there, but is not"
    (blocked,) = blocked_jobs(database, sweep)
    assert (blocked.reason, blocked.images) == (reason, 2)
    monkeypatch.setattr(stand_in, "_misbehave", lambda job: None)
    make_turn().take(keys_of(database))
    assert len(painter.painted) == 1, "a worker that starts again knows of it"
    blocked_groups.lift_all(database)  # as by a sweep that is submitted
    turn.take(keys_of(database))
    assert states(database) == {0: "done", 1: "done"}
    assert blocked_jobs(database, sweep) == []


def test_what_keeps_a_worker_from_a_group_is_logged_once_and_on_change(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    submit(database, plan_seeds(0, prompt="unfit", **SMALL))
    turn = make_turn()

    def try_again() -> None:
        blocked_groups.lift_all(database)
        turn.take(keys_of(database))

    try_again()
    try_again()
    said = "the model must be there, but is not"
    assert caplog.messages.count(said) == 1

    def misbehave(job: Job) -> None:
        msg = "the model must fit, but does not"
        raise UnfitError(msg)

    monkeypatch.setattr(stand_in, "_misbehave", misbehave)
    try_again()
    try_again()
    assert caplog.messages.count("the model must fit, but does not") == 1


def test_a_group_that_another_worker_could_not_make_is_tried(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    sweep = submit(database, plan_seeds(0, 1, **SMALL))
    turn, group = make_turn(), job_rows(database)[0].group_key
    for host, worker in (
        (turn.context.host, "cpu7"),
        ("elsewhere", turn.context.worker),
    ):
        blocked_groups.block(
            database, group, host=host, worker=worker, reason="no memory"
        )
    turn.take(keys_of(database))
    assert states(database) == {0: "done", 1: "done"}
    assert blocked_jobs(database, sweep) == []
    assert len(blocked_groups.resting(database)[group]) == 2, "they would still say so"


@pytest.mark.parametrize("prompt", ["raise", "unfetchable"])
@pytest.mark.parametrize("width", [1, 4])
def test_errors_in_a_row_are_the_machines_and_end_the_worker(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str,
    width: int,
) -> None:
    submit(database, plan_seeds(*range(7), prompt=prompt, **SMALL))
    monkeypatch.setattr(state, "should_stop", None)
    _take(make_turn(StandIn(width=width)), keys_of(database))
    assert state.should_stop == EXIT_UNFIT
    assert should_stop()
    found = list(states(database).values())
    assert found.count("failed") == MOST_SURPRISES - 1
    assert found.count("pending") == 8 - MOST_SURPRISES


def test_an_unforeseen_error_of_a_batch_fails_only_the_job_that_raises_it(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    slow = {**SMALL, "steps": 3}
    bad = make_planned(seed=2, position=2, prompt="raise", **slow)
    good = [one for one in plan_seeds(*range(8), **slow) if one.job.seed != 2]
    submit(database, [*good, bad])
    painter = StandIn(width=4)
    make_turn(painter).take(keys_of(database))
    assert states(database) == {**dict.fromkeys(range(8), "done"), 2: "failed"}
    row = next(row for row in job_rows(database) if row.seed == 2)
    assert row.error == "ZeroDivisionError: division by zero"
    # Four at once, then one by one until it is known, then four at once again.
    sizes = [len(batch) for batch in painter.batches]
    assert sizes[:6] == [1, 1, 1, 1, 1, 1]
    assert max(sizes[6:]) == 4


def test_an_outage_that_a_painter_meets_is_waited_out(
    make_turn: Callable[..., Turn],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.01)
    submit(database, plan_seeds(0, 1, 2, **SMALL))

    class Cut(StandIn):
        def _step(self, work: Work, live: list[Any]) -> None:
            if not self.batches:
                self.batches.append([])
                self.painted.clear()
                msg = "the database is away"
                raise DatabaseError(msg)
            super()._step(work, live)

    painter = Cut(width=2)
    make_turn(painter).take(keys_of(database))
    assert painter.painted == keys_of(database)
    rows = {(row.state, row.attempts) for row in job_rows(database)}
    assert rows == {("done", 1)}


def test_a_painter_that_fails_before_any_job_ends_the_worker(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))

    class Broken(StandIn):
        def paint(self, work: Work) -> None:
            work.expect(self.width)
            raise ZeroDivisionError

    with pytest.raises(DeviceError, match="unexpectedly, the last: ZeroDivision"):
        make_turn(Broken()).take(keys_of(database))
    assert states(database) == {0: "pending", 1: "pending"}


def test_a_batch_is_refilled_while_it_is_painted(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    lengths = [2, 9, 3, 4, 7, 5, 2, 8, 3, 6, 4, 5] * 4
    planned = [
        make_planned(seed=n, position=n, evaluations=count, **{**SMALL, "steps": count})
        for n, count in enumerate(lengths)
    ]
    submit(database, planned)
    painter = StandIn(width=4)
    make_turn(Unhurried(painter, database)).take(keys_of(database))
    assert set(states(database).values()) == {"done"}
    assert sum(map(len, painter.batches)) == sum(lengths)
    assert sum(lengths) / (4 * len(painter.batches)) > 0.9


def test_a_stop_keeps_all_that_is_painted_and_hands_the_rest_back(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(*range(30), **{**SMALL, "steps": 2}))
    painter = StandIn(width=4)
    unhurried = Unhurried(painter, database)
    turn = make_turn(unhurried, should_stop=lambda: len(painter.batches) >= 6)
    with pytest.raises(StoppedError):
        turn.take(keys_of(database))
    done = [row for row in job_rows(database) if row.state == "done"]
    others = [row for row in job_rows(database) if row.state != "done"]
    assert len(done) == 3 * 4 - 4  # the sixth step is not taken to its end
    assert {(row.state, row.attempts) for row in others} == {("pending", 0)}


def test_nothing_is_left_leased_when_a_group_proves_unfit_half_way(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    bad = make_planned(seed=99, position=9, prompt="unfit", **SMALL)
    submit(database, [*plan_seeds(*range(9), **SMALL), bad])
    make_turn(StandIn(width=4)).take(keys_of(database))
    found = {row.seed: (row.state, row.attempts) for row in job_rows(database)}
    assert found[99] == ("pending", 0)
    assert {state for state, _ in found.values()} <= {"pending", "done"}


def test_a_stopped_turn_gives_its_jobs_back(
    make_turn: Callable[..., Turn], database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    _take(make_turn(should_stop=lambda: True), keys_of(database))
    assert states(database) == {0: "pending"}
    reconcile(database, app)
    assert waiting(app) == 1, "another worker is woken"


def test_a_full_disk_is_waited_out(
    make_turn: Callable[..., Turn],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.05)
    sweep = submit(database, plan_seeds(0, **SMALL))
    shutil.rmtree(settings.images)
    settings.images.write_text("a file where the folder should be")
    work = threading.Thread(target=make_turn().take, args=(keys_of(database),))
    work.start()
    wait_until(lambda: "Waiting: Images must be writable" in caplog.text)
    assert states(database) == {0: "leased"}
    assert blocked_jobs(database, sweep) == [], "an outage blocks no group"
    settings.images.unlink()
    work.join(PATIENCE_S)
    assert states(database) == {0: "done"}


def test_an_outage_can_be_stopped(
    make_turn: Callable[..., Turn],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(context_module, "OUTAGE_PAUSE_S", 0.05)
    submit(database, plan_seeds(0, **SMALL))
    shutil.rmtree(settings.images)
    settings.images.write_text("")
    turn = make_turn(should_stop=lambda: "Waiting: " in caplog.text)
    with pytest.raises(StoppedError):
        turn.take(keys_of(database))
    settings.images.unlink()
    assert states(database) == {0: "pending"}


def test_a_job_that_somebody_else_was_given_is_not_begun(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    heartbeat = Heartbeat(database, owner=OWNER, lease_s=90)
    heartbeat.has_lost = lambda job_id: job_id == 1  # type: ignore[method-assign]
    painter = StandIn()
    make_turn(painter, heartbeat=heartbeat).take(keys_of(database))
    assert painter.painted == keys_of(database)[1:]


def test_a_heartbeat_keeps_leases_and_tells_of_lost_jobs(database: Database) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    ids = [claim.id for claim in take(database, OWNER, group=GROUP, lease_s=90)]
    leases = [row.lease_until for row in job_rows(database)]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET owner='host:8:8' WHERE id=2")
    heartbeat = Heartbeat(database, owner=OWNER, lease_s=180)
    heartbeat.hold(*ids)
    with heartbeat.during():
        wait_until(lambda: heartbeat.has_lost(2))
    assert (heartbeat.has_lost(1), heartbeat.has_lost(2)) == (False, True)
    later = [row.lease_until for row in job_rows(database)]
    assert later[0] > leases[0] + 60
    assert later[1] == leases[1]
    heartbeat.let_go(*ids)
    assert not heartbeat.has_lost(2)


@pytest.mark.databases("sqlite")
def test_no_error_ends_a_heartbeat(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = Heartbeat(database, owner=OWNER, lease_s=0.1)
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise MemoryError

    monkeypatch.setattr(heartbeat, "_keep_leases", fail)
    with heartbeat.during():
        wait_until(lambda: len(tried) > 1)


class Failing(Recent):
    """Counts, but not at first; who asks a third time waits for ever."""

    asked = 0

    @property
    def images(self) -> int:
        self.asked += 1
        if self.asked == 1:
            raise MemoryError
        if self.asked > 2:
            threading.Event().wait()
        return 7

    @images.setter
    def images(self, count: int) -> None:
        pass


@pytest.mark.databases("sqlite")
def test_no_error_ends_the_presence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_module, "REGISTER_POLL_S", 0.01)
    recent = Failing()
    Registration(database, ENTRY, recent, every_s=0.01, device="cpu").start()
    wait_until(lambda: recent.asked > 2)
    with database.read() as connection:
        query = sa.select(workers.c.owner, workers.c.images)
        assert connection.execute(query).one() == (ENTRY.owner, 7)


@pytest.mark.databases("sqlite")
def test_a_worker_tells_how_many_rows_served_a_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally(calls=3, rows=48, useful=36)
    monkeypatch.setattr(registration_module, "OF_PROCESS", tally)
    recent = Recent()
    registration = Registration(database, ENTRY, recent, every_s=3600, device="cpu")
    registration._write_news()
    (worker,) = list_workers(database)
    assert (worker.rows_run, worker.rows_used) == (48, 36)


@pytest.mark.databases("sqlite")
def test_steps_are_told_where_no_image_is_finished(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_module, "STEPS_S", 0.0)
    recent = Recent()
    registration = Registration(database, ENTRY, recent, every_s=3600, device="cpu")

    def in_hand() -> float:
        registration._write_news()
        (worker,) = list_workers(database)
        return worker.in_hand

    with phases.during(phases.PAINTING, "a model"):
        assert in_hand() == 0
        phases.get_to(0.5, rows=2)
        assert in_hand() == 0.5
        (worker,) = list_workers(database)
        assert worker.work == "a model"
        assert re.fullmatch(
            r"2 rows, 25 % · \d+\.\d GB · load \d+\.\d", worker.condition
        )
        recent.made_one()
        phases.get_to(0.75, rows=2)
        assert in_hand() == 0.5  # the image says enough
    assert in_hand() == 0  # another phase


def test_no_error_ends_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "REPORT_RETRY_S", 0.01)
    ours, its = os.pipe()
    recent = Failing()
    Reporter(its, recent).start()
    wait_until(lambda: recent.asked > 2)
    os.close(its)
    listener = Listener(ours)
    listener.listen()
    listener.close()
    assert listener.report == Report(images=7)


@pytest.mark.databases("sqlite")
def test_the_task_takes_keys_and_discards_what_is_none(
    make_turn: Callable[..., Turn], database: Database, app: Celery, tmp_path: Path
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    heartbeat = Heartbeat(database, owner=OWNER, lease_s=90)
    turn = make_turn(heartbeat=heartbeat)
    score_turn = ScoreTurn(
        context=turn.context,
        heartbeat=heartbeat,
        device="cpu",
        digests=tmp_path / "digests.json",
    )
    register(app, turn, heartbeat, score_turn=score_turn)
    task = app.tasks["nightsweep.make"]
    task.run(["../../etc/passwd"])
    task.run({"keys": []})
    app.tasks["nightsweep.score"].run(["0" * 32])
    assert states(database) == {0: "pending"}
    task.run(keys_of(database))
    assert states(database) == {0: "done"}
