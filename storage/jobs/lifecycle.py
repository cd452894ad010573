"""The life of a sweep: paused, resumed, cancelled, more or less urgent.

A sweep says first what it wants now, and the jobs that workers hold hear of it in the
same transaction. Those that wait follow step by step, so that no worker waits long for
the database; who claims one of them meanwhile is told by `claims.claim`. So everything
here may be repeated, and broken off at any moment: `settle_all` finishes it.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.membership import ACTIVE, BEST, rank
from storage.jobs.sweeps import FAILED, Sweep
from storage.jobs.wake_ups import runnable_keys
from storage.sql.database import Database
from storage.sql.schema import LEASED, jobs, sweep_jobs, sweeps

log = logging.getLogger(__name__)

#: The priority that a sweep by itself gives its jobs; NULL if it is not active.
WISH = sa.case((ACTIVE, sweeps.c.priority))
#: Jobs of a sweep that are told in one transaction.
SETTLE_ROWS = 2000
#: Finished jobs by which a sweep is judged, and failures among them that it may have.
JUDGED = 100
TOLERATED = JUDGED // 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a sweep's jobs.

    Attributes:
        changed: Jobs that are wanted more, less or no longer.
        woken: Where some may be made now that could not before: keys of every batch
            group that waits, of other sweeps too; see `storage.jobs.wake_ups`.
    """

    changed: int = 0
    woken: Mapping[str, Sequence[str]] = field(default_factory=dict)


def set_state(database: Database, sweep: Sweep, state: str) -> Told:
    """Make a sweep `active`, `paused` or `cancelled`, whatever it was."""
    # What paused it stays told for as long as it is paused.
    reason = {} if state == "paused" else {"reason": None}
    changed = _change(database, sweep, {"state": state, **reason})
    return _told(database, changed) if state == "active" else Told(changed=changed)


def set_priority(database: Database, sweep: Sweep, priority: int) -> Told:
    """Make a sweep more or less urgent: 0 is first, 9 last."""
    return _told(database, _change(database, sweep, {"priority": priority}))


def settle(database: Database, sweep: Sweep) -> Told:
    """Have all jobs of a sweep know what it wants; cheap where they know already."""
    with database.read() as connection:
        unsettled = _unsettled(connection, sweeps.c.id == sweep.id)
    return _told(database, sum(_tell(database, each) for each in unsettled))


def settle_all(database: Database) -> int:
    """Finish what was broken off; give how many jobs had not heard of it.

    Every job of every sweep is looked at: call it now and then.
    """
    with database.read() as connection:
        unsettled = _unsettled(connection)
    return sum(_tell(database, each) for each in unsettled)


def judge(database: Database) -> list[str]:
    """Pause the sweeps whose first jobs fail too often; give their names.

    Each is judged once, by its own first finished jobs: when they are a hundred, or as
    soon as more than a fifth of these have failed. Only sweeps that somebody works on
    now are looked at.
    """
    at_work = sa.select(jobs.c.sweep_id).where(LEASED).distinct()
    query = sa.select(sweeps.c.id, sweeps.c.name).where(
        sweeps.c.id.in_(at_work), ACTIVE, ~sweeps.c.judged
    )
    with database.read() as connection:
        found = connection.execute(query).all()
        first = {row.id: _first_finished(connection, row.id) for row in found}
    return [row.name for row in found if _has_failed(database, row, first[row.id])]


def _change(database: Database, sweep: Sweep, values: Mapping[str, Any]) -> int:
    with database.write() as connection:
        changed = sa.update(sweeps).where(sweeps.c.id == sweep.id).values(values)
        connection.execute(changed)
        held = rank(connection, LEASED)
    return held + _tell(database, sweep.id)


def _told(database: Database, changed: int) -> Told:
    return Told(changed=changed, woken=runnable_keys(database) if changed else {})


def _tell(database: Database, sweep_id: int) -> int:
    """Have all jobs of a sweep know what is wanted; give how many did not."""
    changed = last = 0
    while ids := _members(database, sweep_id, after=last):
        with database.write() as connection:
            members = sa.select(sweep_jobs.c.job_id).where(
                sweep_jobs.c.sweep_id == sweep_id,
                sweep_jobs.c.job_id.between(ids[0], ids[-1]),
            )
            changed += rank(connection, jobs.c.id.in_(members))
        last = ids[-1]
    return changed


def _members(database: Database, sweep_id: int, *, after: int) -> Sequence[int]:
    query = (
        sa.select(sweep_jobs.c.job_id)
        .where(sweep_jobs.c.sweep_id == sweep_id, sweep_jobs.c.job_id > after)
        .order_by(sweep_jobs.c.job_id)
        .limit(SETTLE_ROWS)
    )
    with database.read() as connection:
        return connection.execute(query).scalars().all()


def _unsettled(
    connection: Connection, which: sa.ColumnElement[bool] | None = None
) -> Sequence[int]:
    """Return those sweeps of `which`, or of all, that have jobs which were not told.

    A job whose priority is just what a sweep wishes can lack the wish of another only,
    and is seen there. So who else wants it, which takes longer, is asked of few.
    """
    others = (
        sa.select(sweeps.c.id, sweep_jobs.c.job_id)
        .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(jobs.c.state != "done", jobs.c.priority.is_distinct_from(WISH))
        .where(sa.true() if which is None else which)
        .cte()
        # Or PostgreSQL asks of all what is to be asked of few.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    query = (
        sa.select(others.c.id)
        .join(jobs, jobs.c.id == others.c.job_id)
        .where(jobs.c.priority.is_distinct_from(BEST))
        .distinct()
    )
    return connection.execute(query).scalars().all()


def _first_finished(connection: Connection, sweep_id: int) -> Sequence[Any]:
    """Return state and error of the first finished jobs, in order of execution."""
    query = (
        sa.select(jobs.c.state, jobs.c.error)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        # What another sweep made or failed at says nothing of this one.
        .where(sweep_jobs.c.sweep_id == sweep_id, jobs.c.sweep_id == sweep_id)
        .where(jobs.c.state.in_(("done", *FAILED)))
        .order_by(sweep_jobs.c.job_id)
        .limit(JUDGED)
    )
    return connection.execute(query).all()


def _has_failed(database: Database, sweep: Any, first: Sequence[Any]) -> bool:
    """Judge a sweep if it is time to; tell whether it was paused for it."""
    errors = Counter(row.error for row in first if row.state != "done")
    failed = errors.total()
    if failed <= TOLERATED:
        if len(first) == JUDGED:
            _note(database, sweep.id, {"judged": True})
        return False
    error, _ = errors.most_common(1)[0]
    name = sweep.name
    reason = (
        f"{failed} of its first {len(first)} jobs failed, most of them with: {error}. "
        f"Mend that, then `nightsweep retry {name}` and `nightsweep resume {name}`; or "
        f"`nightsweep cancel {name}`"
    )
    paused = {"judged": True, "state": "paused", "reason": reason}
    if not _note(database, sweep.id, paused):
        return False
    log.warning("%s is paused: %s", name, reason, extra={"action": "sweep_paused"})
    _tell(database, sweep.id)
    return True


def _note(database: Database, sweep_id: int, values: Mapping[str, Any]) -> bool:
    """Change a sweep that nobody judged or stopped meanwhile; tell if it was one."""
    same = sa.update(sweeps).where(sweeps.c.id == sweep_id, ACTIVE, ~sweeps.c.judged)
    with database.write() as connection:
        if not connection.execute(same.values(values)).rowcount:
            return False
        rank(connection, LEASED)
    return True
