"""A turn at the GPU, with a painter that is a stand-in: real SQL, files and Redis."""

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject
from celery.worker import state
from PIL import Image

from storage.blocks import blocked_jobs
from storage.database import Database
from storage.images import ImageFolder
from storage.settings import Settings
from tests.builders import (
    job_rows,
    make_job,
    make_planned,
    plan_seeds,
    states,
    submit,
    take,
)
from tests.stand_in import StandIn
from workers import turn as turn_module
from workers.beat import Beat
from workers.painting import StoppedError
from workers.tasks import EXIT_UNFIT, _take, register, should_stop
from workers.turn import CLAIM, MOST_SURPRISES, Turn

OWNER = "host:7:7"
SMALL = {"width": 8, "height": 8, "steps": 1}
GROUP = make_job(**SMALL).group


@pytest.fixture
def make_turn(
    database: Database, app: Celery, settings: Settings
) -> Callable[..., Turn]:
    def make(**changes: Any) -> Turn:
        values = {
            "database": database,
            "images": ImageFolder(settings.images),
            "painter": StandIn(),
            "beat": Beat(app, database, owner=OWNER, lease_s=90),
            "owner": OWNER,
            "worker": "cpu0",
            "lease_s": 90.0,
            "should_stop": lambda: False,
        }
        return Turn(**{**values, **changes})

    return make


def keys_of(database: Database) -> list[str]:
    return [row.key for row in job_rows(database)]


def test_a_turn_makes_its_jobs_and_then_others_of_their_group(
    make_turn: Callable[..., Turn], database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(*range(CLAIM + 3), **SMALL))
    keys = keys_of(database)
    made_by = StandIn()
    make_turn(painter=made_by).take(keys[-1:])
    assert set(states(database).values()) == {"done"}
    assert made_by.painted == [keys[-1], *keys[:-1]]
    with Image.open(ImageFolder(settings.images).path(keys[0])) as image:
        assert image.size == (8, 8)


def test_a_turn_leaves_other_groups_alone(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    planned = [*plan_seeds(0, **SMALL), make_planned(seed=1, position=1, width=16)]
    submit(database, planned)
    make_turn().take(keys_of(database)[:1])
    assert states(database) == {0: "done", 1: "pending"}


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
        ("raise", "ZeroDivisionError: "),
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
    checks = iter([False] * 5)
    turn = make_turn(should_stop=lambda: next(checks, True))
    with pytest.raises(StoppedError):
        turn.take(keys_of(database))
    assert states(database) == {0: "done", 1: "pending", 2: "pending"}
    assert [row.attempts for row in job_rows(database)] == [1, 0, 0]


def test_a_group_that_cannot_be_made_is_set_aside_and_counts_against_no_job(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    bad = make_planned(seed=0, prompt="unfit", **SMALL)
    sweep = submit(database, [bad, *plan_seeds(1, **SMALL)])
    painter = StandIn()
    turn = make_turn(painter=painter)
    turn.take(keys_of(database))
    turn.take(keys_of(database))
    assert len(painter.painted) == 1
    assert states(database) == {0: "pending", 1: "pending"}
    assert {row.attempts for row in job_rows(database)} == {0}
    reason = "the model must be there, but is not"
    assert blocked_jobs(database, sweep) == {reason: 2}
    make_turn().take(keys_of(database)[1:])
    assert states(database)[1] == "done"


def test_errors_in_a_row_are_the_machines_and_end_the_worker(
    make_turn: Callable[..., Turn], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(*range(5), prompt="raise", **SMALL))
    monkeypatch.setattr(state, "should_stop", None)
    with pytest.raises(Reject) as caught:
        _take(make_turn(), keys_of(database))
    assert caught.value.requeue
    assert state.should_stop == EXIT_UNFIT
    assert should_stop()
    found = list(states(database).values())
    assert found.count("failed") == MOST_SURPRISES - 1
    assert found.count("pending") == 6 - MOST_SURPRISES


def test_a_stopped_turn_gives_its_message_back(
    make_turn: Callable[..., Turn], database: Database
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    with pytest.raises(Reject) as caught:
        _take(make_turn(should_stop=lambda: True), keys_of(database))
    assert caught.value.requeue


def test_a_full_disk_is_waited_out(
    make_turn: Callable[..., Turn],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_module, "PAUSE_S", 0.05)
    sweep = submit(database, plan_seeds(0, **SMALL))
    shutil.rmtree(settings.images)
    settings.images.write_text("a file where the folder should be")
    work = threading.Thread(target=make_turn().take, args=(keys_of(database),))
    work.start()
    time.sleep(0.3)
    assert states(database) == {0: "leased"}
    assert "waiting: Images must be writable" in next(
        iter(blocked_jobs(database, sweep))
    )
    settings.images.unlink()
    work.join(10)
    assert states(database) == {0: "done"}
    assert blocked_jobs(database, sweep) == {}


def test_an_outage_can_be_stopped(
    make_turn: Callable[..., Turn],
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_module, "PAUSE_S", 0.05)
    submit(database, plan_seeds(0, **SMALL))
    shutil.rmtree(settings.images)
    settings.images.write_text("")
    ends = time.monotonic() + 0.5
    turn = make_turn(should_stop=lambda: time.monotonic() > ends)
    with pytest.raises(StoppedError):
        turn.take(keys_of(database))
    settings.images.unlink()
    assert states(database) == {0: "pending"}


def test_a_job_that_somebody_else_was_given_is_not_begun(
    make_turn: Callable[..., Turn], database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    beat = Beat(app, database, owner=OWNER, lease_s=90)
    beat.has_lost = lambda job_id: job_id == 1  # type: ignore[method-assign]
    painter = StandIn()
    make_turn(painter=painter, beat=beat)._make_all(take(database, OWNER, group=GROUP))
    assert painter.painted == keys_of(database)[1:]


def test_a_beat_keeps_the_message_and_tells_of_lost_jobs(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(0, 1, **SMALL))
    ids = [claim.id for claim in take(database, OWNER, group=GROUP, lease_s=1.0)]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET owner='host:8:8' WHERE id=2")
    beat = Beat(app, database, owner=OWNER, lease_s=1.0)
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        client.zadd("unacked_index", {"tag": 1.0, "other": 1.0})
        beat.hold(*ids)
        with beat.during("tag"):
            time.sleep(0.5)
        scores = dict(client.zrange("unacked_index", 0, -1, withscores=True))
    assert scores[b"tag"] > time.time() - 10
    assert scores[b"other"] == 1.0
    assert (beat.has_lost(1), beat.has_lost(2)) == (False, True)
    leases = [row.lease_until for row in job_rows(database)]
    assert leases[0] > time.time()
    beat.let_go(*ids)
    assert not beat.has_lost(2)


def test_leases_are_kept_while_redis_is_away(
    database: Database, settings: Settings, app: Celery
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    ids = [claim.id for claim in take(database, OWNER, group=GROUP, lease_s=1.0)]
    before = job_rows(database)[0].lease_until
    with app.connection_for_write() as connection:
        connection.default_channel.client.shutdown(nosave=True)
    beat = Beat(app, database, owner=OWNER, lease_s=60)
    beat.hold(*ids)
    beat._beat("tag")
    assert job_rows(database)[0].lease_until > before + 30


def test_the_task_takes_keys_and_discards_what_is_none(
    make_turn: Callable[..., Turn], database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(0, **SMALL))
    beat = Beat(app, database, owner=OWNER, lease_s=90)
    register(app, make_turn(beat=beat), beat)
    task = app.tasks["nightsweep.make"]
    task.push_request(properties={"delivery_tag": "tag"})
    task.run(["../../etc/passwd"])
    task.run({"keys": []})
    assert states(database) == {0: "pending"}
    task.run(keys_of(database))
    assert states(database) == {0: "done"}
