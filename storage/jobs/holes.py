"""Images that people want and do not have: why each is not made, and who wants it.

Images whose files were removed are none of them: nobody wants those back by accident.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.sweeps import FAILED
from storage.queries.selection import compile_query
from storage.sql.database import Database
from storage.sql.schema import MADE_STATES, jobs, sweep_jobs, sweeps
from storage.sql.value_pages import in_pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """Jobs that were never made.

    Attributes:
        failed: Keys of jobs that are not made any more, by a sweep that wants them: an
            active one, if there is any.
        stopped: Paused and cancelled sweeps whose waiting jobs no active sweep wants.
        waiting: Jobs that workers will make.
        wanted_by: Active sweeps that want one of those, the oldest of each job.
        leased: Jobs in a worker's hands.
        unwanted: Waiting jobs that no sweep wants any more.
    """

    failed: Mapping[str, Sequence[str]]
    stopped: Sequence[str]
    waiting: int
    wanted_by: Sequence[str]
    leased: int
    unwanted: int


def find_holes(database: Database, query: str, keys: Sequence[str] = ()) -> Holes:
    """Return the jobs that are not done among some.

    Args:
        database: Where they are.
        query: Which jobs, if there are no keys.
        keys: Whole keys.

    Raises:
        UsageError: The query cannot be read.
    """
    failed: dict[str, list[str]] = defaultdict(list)
    stopped: dict[str, None] = {}
    active_ones: dict[str, None] = {}
    waiting = leased = unwanted = 0
    with database.read() as connection:
        for job, wanted_by in _unmade(connection, query, keys):
            active = [each.name for each in wanted_by if each.state == "active"]
            names = active or [each.name for each in wanted_by]
            if job.state in FAILED:
                failed[names[0] if names else ""].append(job.key)
            elif job.state == "leased":
                leased += 1
            elif job.priority is not None:
                waiting += 1
                active_ones |= dict.fromkeys(active[:1])
            elif not names:
                unwanted += 1
            elif not active:
                stopped[names[-1]] = None
    return Holes(
        failed=dict(failed),
        stopped=[*stopped],
        waiting=waiting,
        wanted_by=[*active_ones],
        leased=leased,
        unwanted=unwanted,
    )


def _unmade(
    connection: Connection, query: str, keys: Sequence[str]
) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield each job that is not done, with the sweeps that have it, oldest first."""
    columns = (jobs.c.id, jobs.c.key, jobs.c.state, jobs.c.priority)
    is_unmade = jobs.c.state.not_in(MADE_STATES)
    if keys:
        found: Iterable[Any] = (
            row
            for page in in_pages(keys)
            for row in connection.execute(
                sa.select(*columns).where(jobs.c.key.in_(page), is_unmade)
            )
        )
    else:
        rows = compile_query(connection, query).select(*columns)
        found = connection.execute(rows.where(is_unmade))
    for some in in_pages([*found]):
        wanted_by = _sweeps_of(connection, [row.id for row in some])
        for row in some:
            yield row, wanted_by.get(row.id, ())


def _sweeps_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Any]]:
    rows = (
        sa.select(sweep_jobs.c.job_id, sweeps.c.name, sweeps.c.state)
        .join(sweeps, sweeps.c.id == sweep_jobs.c.sweep_id)
        .where(sweep_jobs.c.job_id.in_(ids))
        .order_by(sweeps.c.id)
    )
    found: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(rows):
        found[row.job_id].append(row)
    return found
