"""Counts of the jobs of all sweeps, kept current at the cost of what changed.

To count a million jobs takes a second. A screen that looks every two seconds counts
them once a minute, and between that only what indexes hold: jobs in hand, failures,
and images that were finished since.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.jobs.sweep_counts import count_all_states
from storage.sql.database import Database
from storage.sql.schema import FAILED, HELD, jobs, results, sweep_jobs, sweeps

#: Seconds after which all jobs are counted again.
RECOUNT_S = 60.0
#: Least seconds between two counts of all jobs, as a multiple of what one took.
COST_FACTOR = 20
#: Seconds by which a row may be committed later than its time says.
LATE_S = 120.0

Counts = dict[int, dict[str, int]]


class LiveCounts:
    """Jobs by state, by the row of their sweep.

    Removed files and jobs that are made again are noticed by the next count of all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count nothing yet; `clock` returns seconds."""
        self._clock = clock
        self._counted: Counts = {}
        self._made: Mapping[int, int] = {}
        self._failed: Counts = {}
        self._all_failed: object = None
        self._since = ""
        self._of: object = None
        self._counted_at, self._took_s = clock(), 0.0

    def look(self, database: Database) -> Counts:
        """Return the counts; states without a job are left out.

        Raises:
            DatabaseError: The database cannot be read.
        """
        now = _revisions(database)
        if self._is_due(now):
            self._count(database)
            self._of = now
            return self._counted
        leased = _count_leased(database)
        if (all_failed := _count_all_failed(database)) != self._all_failed:
            self._failed, self._all_failed = _count_failed(database), all_failed
        made = _count_made(database, self._since)
        return {
            sweep: _current(
                states,
                {**leased.get(sweep, {}), **self._failed.get(sweep, {})},
                made.get(sweep, 0) - self._made.get(sweep, 0),
            )
            for sweep, states in self._counted.items()
        }

    def _is_due(self, now: Sequence[Any]) -> bool:
        age_s = self._clock() - self._counted_at
        if age_s < COST_FACTOR * self._took_s:
            return False
        is_growing = any(row.submitting is not None for row in now)
        return is_growing or now != self._of or age_s >= RECOUNT_S

    def _count(self, database: Database) -> None:
        began = self._clock()
        late = datetime.now(UTC) - timedelta(seconds=LATE_S)
        self._since = late.isoformat(timespec="microseconds")
        # First: an image that is finished in between counts twice for a minute, rather
        # than as unmade.
        self._made = _count_made(database, self._since)
        self._counted = count_all_states(database)
        self._all_failed = None
        self._counted_at = self._clock()
        self._took_s = self._counted_at - began


def _current(
    counted: Mapping[str, int], unfinished: Mapping[str, int], made: int
) -> dict[str, int]:
    total = sum(counted.values())
    evicted = counted.get("evicted", 0)
    rest = max(total - evicted - sum(unfinished.values()), 0)
    done = min(max(counted.get("done", 0) + made, 0), rest)
    states = {"done": done, "evicted": evicted, "pending": rest - done, **unfinished}
    return {state: count for state, count in states.items() if count}


def _revisions(database: Database) -> Sequence[Any]:
    """Return what changes when jobs join or leave a sweep, except while it grows."""
    columns = (sweeps.c.id, sweeps.c.revision, sweeps.c.state, sweeps.c.changes)
    with database.read() as connection:
        return connection.execute(sa.select(*columns, sweeps.c.submitting)).all()


def _count_leased(database: Database) -> Counts:
    return _by_sweep(database, sa.select(jobs.c.id, jobs.c.state).where(HELD))


def _count_failed(database: Database) -> Counts:
    return _by_sweep(database, sa.select(jobs.c.id, jobs.c.state).where(FAILED))


def _count_made(database: Database, since: str) -> dict[int, int]:
    """Count the images that were finished since a time, which is ISO 8601 in UTC."""
    made = sa.literal("done").label("state")
    few = sa.select(results.c.job_id.label("id"), made)
    counts = _by_sweep(database, few.where(results.c.finished_at >= since))
    return {sweep: states["done"] for sweep, states in counts.items()}


def _count_all_failed(database: Database) -> object:
    """Count the failed jobs of all sweeps, which is far cheaper than by sweep."""
    query = sa.select(jobs.c.state, sa.func.count()).where(FAILED)
    with database.read() as connection:
        return connection.execute(query.group_by(jobs.c.state)).all()


def _by_sweep(database: Database, few: sa.Select[Any]) -> Counts:
    """Count a few jobs by their sweep and state.

    They are found first: else SQLite would begin with all jobs of all sweeps.
    """
    found = few.cte("few").prefix_with("MATERIALIZED")
    query = (
        sa.select(sweep_jobs.c.sweep_id, found.c.state, sa.func.count())
        .join(found, found.c.id == sweep_jobs.c.job_id)
        .group_by(sweep_jobs.c.sweep_id, found.c.state)
    )
    counts: Counts = {}
    with database.read() as connection:
        for sweep, state, count in connection.execute(query):
            counts.setdefault(sweep, {})[state] = count
    return counts
