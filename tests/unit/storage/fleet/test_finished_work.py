"""Counters of finished work: each image counts once, however often one looks."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.fleet.finished_work import FinishedWork
from storage.jobs.results import record_done
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

pytestmark = pytest.mark.databases("sqlite", "postgresql")

START = datetime(2026, 1, 2, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def finish(database: Database, at: datetime) -> None:
    for claim in take(database, limit=1):
        result = make_result(finished_at=at.isoformat(timespec="microseconds"))
        record_done(
            database, {claim.id: result}, worker="cpu0", environment=ENVIRONMENT
        )


def test_each_image_since_the_start_counts_once(database: Database) -> None:
    submit(database, plan_seeds(*range(9)))
    finish(database, after(-1))
    work = FinishedWork(START)
    assert work.look(database, after(0)) == {}
    for minute in range(1, 7):
        finish(database, after(minute))
        (figures,) = work.look(database, after(minute)).values()
        assert figures["images"] == minute
    # Again without news, and long after.
    for minute in (6, 60):
        found = work.look(database, after(minute))
    assert found == {
        ("CPU", "night3"): {
            "images": 6,
            "load": 0,
            "encode": 6 * 0.25,
            "denoise": 6 * 0.5,
            "decode": 6 * 0.125,
            "save": 6 * 0.125,
        }
    }


def test_an_image_that_is_stored_a_minute_late_counts(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    work = FinishedWork(START)
    finish(database, after(5))
    work.look(database, after(5))
    finish(database, after(4))
    (figures,) = work.look(database, after(6)).values()
    assert figures["images"] == 2
