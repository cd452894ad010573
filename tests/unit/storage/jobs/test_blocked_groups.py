"""What a worker could not make: whose block it is, how long it rests, what lifts it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import blocked_groups
from storage.jobs.blocked_groups import Blocked
from storage.sql.database import Database, seconds_between
from storage.sql.schema import blocks as table
from tests.builders import make_job, make_planned, plan_seeds, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

GROUP = make_job().group
WIDE = make_job(width=768).group


def block(
    database: Database,
    worker: str = "gpu0",
    *,
    group: str = GROUP,
    host: str = "night3",
    reason: str = "no such model",
) -> None:
    blocked_groups.block(database, group, host=host, worker=worker, reason=reason)


def rows(database: Database) -> list[Any]:
    with database.read() as connection:
        query = sa.select(table).order_by(table.c.host, table.c.worker)
        return list(connection.execute(query).all())


def set_row(database: Database, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(sa.update(table).values(values))


def ago(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds")


def test_a_block_is_of_one_worker_of_one_host(database: Database) -> None:
    block(database, "gpu0")
    block(database, "gpu1")
    block(database, "gpu0", host="night4")
    assert blocked_groups.resting(database) == {
        GROUP: {("night3", "gpu0"), ("night3", "gpu1"), ("night4", "gpu0")}
    }


def test_a_block_that_is_noted_again_keeps_its_beginning(database: Database) -> None:
    block(database)
    set_row(database, since="2026-01-02T03:04:05.678901+00:00")
    block(database, reason="it is another one")
    (row,) = rows(database)
    assert row.reason == "it is another one"
    assert row.since == "2026-01-02T03:04:05.678901+00:00"


@pytest.mark.parametrize(
    ("blocked_s", "pause_s"), [(0, 60), (30, 60), (100, 100), (9999, 300)]
)
def test_a_worker_rests_for_as_long_as_it_could_not_within_bounds(
    database: Database, blocked_s: float, pause_s: float
) -> None:
    block(database)
    set_row(database, since=ago(blocked_s))
    block(database)
    (row,) = rows(database)
    rests_s = seconds_between(ago(0), row.retry_at)
    assert pause_s - 30 < rests_s < pause_s + 30


def test_a_worker_whose_pause_is_over_tries_again(database: Database) -> None:
    block(database)
    set_row(database, retry_at=ago(1))
    assert blocked_groups.resting(database) == {}


def test_a_clock_that_was_set_back_makes_nobody_rest_longer(
    database: Database,
) -> None:
    block(database)
    set_row(database, retry_at=ago(-blocked_groups.MOST_PAUSE_S - 3600))
    assert blocked_groups.resting(database) == {}


def test_an_image_lifts_the_block_of_its_maker_and_those_that_are_over(
    database: Database,
) -> None:
    for worker in ("gpu1", "gpu2"):
        block(database, worker)
    block(database, group=WIDE)
    block(database, host="night4")
    blocked_groups.lift(database, GROUP, host="night3", worker="gpu1")
    assert [(row.host, row.worker) for row in rows(database)] == [
        ("night3", "gpu0"),
        ("night3", "gpu2"),
        ("night4", "gpu0"),
    ]
    set_row(database, retry_at=ago(1))
    blocked_groups.lift(database, GROUP, host="night3", worker="gpu1")
    assert [row.group_key for row in rows(database)] == [WIDE]


def test_the_blocks_of_one_host_or_of_all_are_forgotten(database: Database) -> None:
    block(database)
    block(database, host="night4")
    blocked_groups.lift_all(database, host="night3")
    assert [row.host for row in rows(database)] == ["night4"]
    blocked_groups.lift_all(database)
    assert rows(database) == []


def test_only_what_all_workers_of_a_host_tried_is_blocked_by_all(
    database: Database,
) -> None:
    block(database, "gpu0")
    block(database, "gpu0", group=WIDE)
    block(database, "gpu1", group=WIDE)
    block(database, "gpu1", host="night4")

    def blocked(*workers: str) -> set[str]:
        return blocked_groups.groups_blocked_by_all(database, "night3", workers)

    assert blocked("gpu0", "gpu1") == {WIDE}
    assert blocked("gpu0") == {GROUP, WIDE}
    assert blocked("gpu2") == set()
    assert blocked() == set(), "who is not there tried nothing"


def test_what_is_blocked_is_told_with_its_host_workers_and_reason(
    database: Database,
) -> None:
    sweep = submit(database, [*plan_seeds(1, 2), make_planned(seed=3, width=768)])
    assert blocked_groups.blocked_jobs(database, sweep) == []
    for worker in ("gpu0", "gpu1"):
        block(database, worker)
        block(database, worker, group=WIDE)
    block(database, host="night4", reason="no room")

    def told(host: str, *workers: str, reason: str, images: int) -> Blocked:
        return Blocked(host=host, workers=workers, reason=reason, images=images)

    assert blocked_groups.blocked_jobs(database, sweep) == [
        told("night3", "gpu0", "gpu1", reason="no such model", images=3),
        told("night4", "gpu0", reason="no room", images=2),
    ]
    assert blocked_groups.count_unmade(database, sweep, {GROUP}) == 2
    assert blocked_groups.count_unmade(database, sweep, {GROUP, WIDE}) == 3
    assert blocked_groups.count_unmade(database, sweep, set()) == 0
