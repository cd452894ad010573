"""Wake-ups: every group that waits is named, the most urgent first, each by a few."""

from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import lifecycle, wake_ups
from storage.jobs.wake_ups import WAKE_UP, runnable_keys
from storage.sql.database import Database
from tests.builders import make_job, make_planned, plan_seeds, submit, take_these

pytestmark = pytest.mark.databases("sqlite", "postgresql")

WIDE = make_planned(seed=-1, position=WAKE_UP, width=768)


def test_keys_come_by_group_in_order_of_execution(database: Database) -> None:
    submit(database, [*plan_seeds(1, 2), WIDE], priority=7)
    submit(database, plan_seeds(3), name="sooner", priority=1)
    take_these(database, [make_job(seed=1).key])
    named = runnable_keys(database)
    assert named == {
        make_job().group: [make_job(seed=3).key, make_job(seed=2).key],
        WIDE.job.group: [WIDE.job.key],
    }
    assert list(named) == [make_job().group, WIDE.job.group]


def test_of_equally_urgent_groups_those_come_first_that_were_planned_first(
    database: Database,
) -> None:
    widths = [64 * number for number in range(9, 1, -1)]
    planned = [
        make_planned(width=width, position=position)
        for position, width in enumerate(widths)
    ]
    submit(database, planned)
    assert list(runnable_keys(database)) == [one.job.group for one in planned]


def test_where_nothing_can_be_made_nothing_is_named(database: Database) -> None:
    assert runnable_keys(database) == {}


def test_a_group_of_very_many_jobs_leaves_no_other_out(database: Database) -> None:
    submit(database, [*plan_seeds(*range(WAKE_UP)), WIDE])
    named = runnable_keys(database)
    assert named[WIDE.job.group] == [WIDE.job.key]
    assert named[make_job().group] == [
        make_job(seed=seed).key for seed in range(WAKE_UP // 2)
    ]


def test_of_more_groups_than_are_named_otherwise_each_is_named_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_ups, "WAKE_UP", 3)
    planned = [make_planned(seed=n, width=64 + 8 * (n // 2)) for n in range(8)]
    submit(database, planned)
    named = runnable_keys(database)
    assert set(named) == {one.job.group for one in planned}
    assert [len(keys) for keys in named.values()] == [1, 1, 1, 1]


def test_a_resumed_sweep_leaves_no_group_out(database: Database) -> None:
    sweep = submit(database, [*plan_seeds(*range(WAKE_UP)), WIDE])
    lifecycle.set_state(database, sweep, "paused")
    woken = lifecycle.set_state(database, sweep, "active").woken
    assert woken[WIDE.job.group] == [WIDE.job.key]


@pytest.mark.databases("sqlite")
def test_naming_reads_no_more_than_it_names(database: Database) -> None:
    submit(database, [*plan_seeds(1, 2), WIDE])
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *rest: Any) -> None:
        asked.append((statement, rest[0]))

    runnable_keys(database)
    queries = [each for each in asked if each[0].startswith("SELECT")]
    plans = []
    with database.read() as connection:
        for query, values in queries:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)
            plans.append("\n".join(row.detail for row in plan))
    # Found in the index of what is runnable, in its order: nothing is sorted.
    by_group = "SEARCH jobs USING INDEX ix_jobs_runnable (group_key"
    assert len(plans) == 5
    assert all(plan.startswith(by_group) for plan in plans)
    assert not any("TEMP B-TREE" in plan for plan in plans)
