"""What pages ask of a sweep again and again costs no look at all of its jobs."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs.blocked_groups import blocked_jobs
from storage.jobs.sweep_counts import failure_examples, recent_rate
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from tests.builders import plan_seeds, submit


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (recent_rate, "ix_results_finished_at"),
        (failure_examples, "ix_jobs_failed"),
        (blocked_jobs, "blocks"),
    ],
)
def test_a_question_about_a_sweep_begins_with_what_is_rare(
    database: Database, ask: Callable[[Database, Sweep], object], index: str
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *rest: Any) -> None:
        asked.append((statement, rest[0]))

    ask(database, sweep)
    (statement, parameters) = next(each for each in asked if "SELECT" in each[0])
    with database.read() as connection:
        query = f"EXPLAIN QUERY PLAN {statement}"
        plan = connection.exec_driver_sql(query, parameters).all()
    assert index in plan[0].detail
