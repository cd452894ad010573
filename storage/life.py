"""The life of a sweep: paused, resumed, cancelled, more or less urgent.

A sweep says first what it wants now, and the jobs that workers hold hear of it in the
same transaction. Those that wait follow step by step, so that no worker waits long for
the database; who claims one of them meanwhile is told by `storage.claims.claim`. So
everything here may be repeated, and broken off at any moment: `settle_all` finishes it.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import Database
from storage.schema import LEASED, RUNNABLE, jobs, sweep_jobs, sweeps
from storage.sweeps import FAILED, Sweep
from storage.wishes import ACTIVE, BEST, rank

log = logging.getLogger(__name__)

#: Jobs of a sweep that are told in one transaction.
STEP = 2000
#: Jobs that are named in the messages which wake workers; these go on by themselves.
WAKE_UP = 512
#: Members of a sweep that show whether the others were told: the last of them.
LOOK_BACK = 500
#: Finished jobs by which a sweep is judged, and failures among them that it may have.
JUDGED = 100
TOLERATED = JUDGED // 5


@dataclass(slots=True)
class Told:
    """What became of a sweep's jobs.

    Attributes:
        changed: Jobs that are wanted more, less or no longer.
        woken: Batch groups to keys of jobs that can be made now, `WAKE_UP` at most.
    """

    changed: int = 0
    woken: dict[str, list[str]] = field(default_factory=dict)


def set_state(database: Database, sweep: Sweep, state: str) -> Told:
    """Make a sweep `active`, `paused` or `cancelled`, whatever it was."""
    # What paused it stays told for as long as it is paused.
    reason = {} if state == "paused" else {"reason": None}
    return _change(database, sweep, {"state": state, **reason})


def set_priority(database: Database, sweep: Sweep, priority: int) -> Told:
    """Make a sweep more or less urgent: 0 is first, 9 last."""
    return _change(database, sweep, {"priority": priority})


def settle(database: Database, sweep: Sweep) -> Told:
    """Have all jobs of a sweep know what it wants; cheap where they know already."""
    with database.read() as connection:
        if _is_settled(connection, sweep.id):
            return Told()
    return _tell(database, sweep.id)


def settle_all(database: Database) -> int:
    """Finish what was broken off; give how many jobs had not heard of it.

    Whether a sweep's jobs were told is seen at its last members, which are told last.
    """
    with database.read() as connection:
        ids = connection.execute(sa.select(sweeps.c.id)).scalars().all()
        unsettled = [each for each in ids if not _is_settled(connection, each)]
    return sum(_tell(database, each).changed for each in unsettled)


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


def _change(database: Database, sweep: Sweep, values: Mapping[str, Any]) -> Told:
    with database.write() as connection:
        changed = sa.update(sweeps).where(sweeps.c.id == sweep.id).values(values)
        connection.execute(changed)
        held = rank(connection, LEASED)
    told = _tell(database, sweep.id)
    told.changed += held
    return told


def _tell(database: Database, sweep_id: int) -> Told:
    told, last, named = Told(), 0, 0
    while ids := _members(database, sweep_id, after=last):
        with database.write() as connection:
            members = sa.select(sweep_jobs.c.job_id).where(
                sweep_jobs.c.sweep_id == sweep_id,
                sweep_jobs.c.job_id.between(ids[0], ids[-1]),
            )
            changed = rank(connection, jobs.c.id.in_(members))
        if changed and named < WAKE_UP:
            named += _name(database, ids, told.woken, most=WAKE_UP - named)
        told.changed += changed
        last = ids[-1]
    return told


def _members(database: Database, sweep_id: int, *, after: int) -> Sequence[int]:
    query = (
        sa.select(sweep_jobs.c.job_id)
        .where(sweep_jobs.c.sweep_id == sweep_id, sweep_jobs.c.job_id > after)
        .order_by(sweep_jobs.c.job_id)
        .limit(STEP)
    )
    with database.read() as connection:
        return connection.execute(query).scalars().all()


def _name(
    database: Database, ids: Sequence[int], groups: dict[str, list[str]], *, most: int
) -> int:
    """Add jobs of `ids` that can be made now to `groups`; give how many they are."""
    columns = (jobs.c.group_key, jobs.c.key)
    query = sa.select(*columns).where(jobs.c.id.in_(ids), RUNNABLE).limit(most)
    with database.read() as connection:
        found = connection.execute(query).all()
    for group, key in found:
        groups.setdefault(group, []).append(key)
    return len(found)


def _is_settled(connection: Connection, sweep_id: int) -> bool:
    last = (
        sa.select(sweep_jobs.c.job_id)
        .where(sweep_jobs.c.sweep_id == sweep_id)
        .order_by(sweep_jobs.c.job_id.desc())
        .limit(LOOK_BACK)
        .subquery()
    )
    ignorant = sa.select(jobs.c.id).where(
        jobs.c.id.in_(sa.select(last.c.job_id)),
        jobs.c.state != "done",
        jobs.c.priority.is_distinct_from(BEST),
    )
    return connection.execute(ignorant.limit(1)).first() is None


def _first_finished(connection: Connection, sweep_id: int) -> Sequence[Any]:
    """Give state and error of the first finished jobs, in order of execution."""
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
