"""Figures of the queue say what its rows say."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from storage.fleet.queue_figures import (
    count_blocked_groups,
    count_leases,
    last_finished_s,
    list_sweep_rows,
    longest_wait_s,
)
from storage.jobs.blocked_groups import block
from storage.jobs.results import record_done
from storage.sql.database import Database
from storage.sql.schema import jobs
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def age(database: Database, *, seconds: float, seeds: int) -> None:
    """Make the jobs up to a seed older."""
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    text = then.isoformat(timespec="microseconds")
    with database.write() as connection:
        old = sa.update(jobs).where(jobs.c.seed <= seeds)
        connection.execute(old.values(created_at=text))


def test_an_empty_queue_has_no_age_and_no_leases(database: Database) -> None:
    assert longest_wait_s(database) == 0
    assert count_leases(database) == (0, 0)
    assert last_finished_s(database) == 0
    assert count_blocked_groups(database) == {}
    assert list_sweep_rows(database) == []


def test_the_wait_is_that_of_the_next_job_of_the_group_that_waits_longest(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3), name="night")
    submit(database, plan_seeds(7, width=256), name="small")
    age(database, seconds=5000, seeds=1)
    assert 5000 <= longest_wait_s(database) < 6000
    take(database, limit=1)
    assert longest_wait_s(database) < 1000


def test_leases_are_counted_and_so_are_those_that_ended(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    take(database, limit=2)
    take(database, limit=1, lease_s=-1.0)
    assert count_leases(database) == (3, 1)


def test_the_last_image_and_the_newest_sweep_are_found(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="night")
    submit(database, plan_seeds(3), name="morning")
    first, second = take(database, limit=2)
    times = ("2026-01-02T03:04:05.000000+00:00", "2026-01-02T03:04:04.000000+00:00")
    done = {
        claim.id: make_result(finished_at=at)
        for claim, at in zip((first, second), times, strict=True)
    }
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    assert last_finished_s(database) == datetime.fromisoformat(times[0]).timestamp()
    names = [(row.name, row.state) for row in list_sweep_rows(database)]
    assert names == [("morning", "active"), ("night", "active")]


def test_a_group_that_two_workers_of_a_host_block_counts_once(
    database: Database,
) -> None:
    for host, worker, group in (
        ("a", "gpu0", "g1"),
        ("a", "gpu1", "g1"),
        ("a", "gpu0", "g2"),
        ("b", "gpu0", "g1"),
    ):
        block(database, group, host=host, worker=worker, reason="no such model")
    assert count_blocked_groups(database) == {"a": 2, "b": 1}
