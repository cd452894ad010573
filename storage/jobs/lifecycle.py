"""The life of a sweep: paused, resumed, cancelled, more or less urgent.

A change is stored with the sweep first, and the jobs that workers hold are updated in
the same transaction. Waiting jobs follow step by step, so that no worker waits long for
the database; `claims.claim` updates a job that is claimed meanwhile. So everything here
may be repeated, and interrupted at any moment: a sweep counts its changes and how many
of them its jobs know, and `settle_all` finishes the rest.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import Limits, lift_quota, lift_reached, set_limits
from storage.jobs.membership import ACTIVE, rank
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import FAILED, UNMADE, Sweep
from storage.jobs.wake_ups import runnable_keys
from storage.sql.database import Database
from storage.sql.schema import LEASED, MADE_STATES, jobs, sweep_jobs, sweeps

log = logging.getLogger(__name__)

#: What a sweep notes with each change that its jobs do not know yet.
CHANGED = {"changes": sweeps.c.changes + 1}
#: Jobs of a sweep that are updated in one transaction.
SETTLE_ROWS = 2000
#: Finished jobs by which a sweep is judged, and how many of them may be failures.
JUDGED = 100
TOLERATED = JUDGED // 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a change of a sweep affected its jobs.

    Attributes:
        changed: Jobs that are wanted more, less or no longer.
        woken: If some jobs may be made now that could not before: keys of every waiting
            batch group, also those of other sweeps; see `storage.jobs.wake_ups`.
    """

    changed: int = 0
    woken: Mapping[str, Sequence[str]] = field(default_factory=dict)


def set_state(
    database: Database, sweep: Sweep, state: str, *, limits: Limits | None = None
) -> Told:
    """Make a sweep `active`, `paused` or `cancelled`, whatever it was before.

    Args:
        database: Where it is.
        sweep: The sweep.
        state: Its new state.
        limits: What stops it from now on. With None it keeps its limits, but an active
            one loses them if it had reached one.
    """
    # The reason for a pause is kept as long as the sweep is paused.
    reason = {} if state == "paused" else {"reason": None}
    values = {"state": state, **reason}
    changed = _change(database, sweep, values, limits=limits)
    return _told(database, changed) if state == "active" else Told(changed=changed)


def remove(database: Database, sweep: Sweep) -> bool:
    """List a sweep and its references no more, unless it was changed since it was read.

    Returns whether it is removed now. Submitting it again makes it active again.
    """
    return _hide(database, sweep, "removed")


def archive(database: Database, sweep: Sweep) -> bool:
    """Put a sweep and its references away, unless it was changed since it was read.

    Returns whether it is archived now. Whatever makes it active takes it back.
    """
    return _hide(database, sweep, "archived")


def take_back(database: Database, sweep: Sweep) -> str:
    """Take a sweep and its references out of the archive; return its state.

    It is active if all of its images are made, so that nothing is made unasked, else
    cancelled.
    """
    unmade = count_states(database, sweep)
    state = "cancelled" if any(unmade.get(each) for each in UNMADE) else "active"
    set_state(database, sweep, state)
    return state


def set_priority(database: Database, sweep: Sweep, priority: int) -> Told:
    """Make a sweep more or less urgent: 0 is first, 9 last."""
    return _told(database, _change(database, sweep, {"priority": priority}))


def settle(database: Database, sweep: Sweep) -> Told:
    """Update all jobs of a sweep to what it wants; cheap if they are up to date.

    The sweep of its references gets its state and its owner, too.
    """
    leader = sweeps.alias()
    its = {
        name: sa.select(leader.c[name]).where(leader.c.id == sweep.id).scalar_subquery()
        for name in ("state", "owner_id")
    }
    differs = sa.or_(*(sweeps.c[name] != value for name, value in its.items()))
    follow = sa.update(sweeps).where(sweeps.c.reference_of == sweep.id, differs)
    with database.write() as connection:
        connection.execute(follow.values(**its, **CHANGED))
    return _told(database, _settle(database, _with_references(sweep.id)))


def settle_all(database: Database) -> int:
    """Finish interrupted changes; return how many jobs were not up to date."""
    return _settle(database, sa.true())


def _settle(database: Database, which: sa.ColumnElement[bool]) -> int:
    query = sa.select(sweeps.c.id).where(which, sweeps.c.told < sweeps.c.changes)
    with database.read() as connection:
        untold = connection.execute(query).scalars().all()
    return sum(_tell(database, each) for each in untold)


def judge(database: Database) -> list[str]:
    """Pause the sweeps whose first jobs fail too often; return their names.

    Each is judged once, by its own first hundred finished jobs: when all of them have
    finished, or as soon as more than a fifth of a hundred have failed. Only sweeps that
    workers make jobs of now are looked at.
    """
    at_work = sa.select(jobs.c.sweep_id).where(LEASED).distinct()
    query = sa.select(sweeps.c.id, sweeps.c.name).where(
        sweeps.c.id.in_(at_work), ACTIVE, ~sweeps.c.judged
    )
    with database.read() as connection:
        found = connection.execute(query).all()
        first = {row.id: _first_finished(connection, row.id) for row in found}
    return [row.name for row in found if _has_failed(database, row, first[row.id])]


def _hide(database: Database, sweep: Sweep, state: str) -> bool:
    mine = sa.and_(sweeps.c.id == sweep.id, sweeps.c.revision == sweep.revision)
    is_same = sweeps.c.state.in_([sweep.state, state])
    with database.write() as connection:
        found = connection.execute(
            sa.update(sweeps).where(mine, is_same).values(state=state, **CHANGED)
        )
    if found.rowcount:
        settle(database, sweep)
    return bool(found.rowcount)


def _change(
    database: Database,
    sweep: Sweep,
    values: Mapping[str, Any],
    *,
    limits: Limits | None = None,
) -> int:
    """Change a sweep and the one of its references; return how many jobs changed."""
    which = _with_references(sweep.id)
    with database.write() as connection:
        ids = connection.execute(sa.select(sweeps.c.id).where(which)).scalars().all()
        connection.execute(sa.update(sweeps).where(which).values({**values, **CHANGED}))
        held = rank(connection, LEASED)
        if limits:
            set_limits(connection, sweep.id, limits)
        elif values.get("state") == "active":
            lift_reached(connection, sweep.id)
        elif "state" in values:  # a person's word: no quota makes it active again
            lift_quota(connection, sweep.id)
    return held + sum(_tell(database, each) for each in ids)


def _with_references(sweep_id: int) -> sa.ColumnElement[bool]:
    return sa.or_(sweeps.c.id == sweep_id, sweeps.c.reference_of == sweep_id)


def _told(database: Database, changed: int) -> Told:
    return Told(changed=changed, woken=runnable_keys(database) if changed else {})


def _tell(database: Database, sweep_id: int) -> int:
    """Update all jobs of a sweep to what it wants; return how many changed."""
    mine = sweeps.c.id == sweep_id
    with database.read() as connection:
        known = connection.execute(sa.select(sweeps.c.changes).where(mine)).scalar_one()
    changed = last = 0
    while ids := _members(database, sweep_id, after=last):
        with database.write() as connection:
            members = sa.select(sweep_jobs.c.job_id).where(
                sweep_jobs.c.sweep_id == sweep_id,
                sweep_jobs.c.job_id.between(ids[0], ids[-1]),
            )
            changed += rank(connection, jobs.c.id.in_(members))
        last = ids[-1]
    with database.write() as connection:
        # Another process may have applied later changes meanwhile.
        told = sa.update(sweeps).where(mine, sweeps.c.told < known)
        connection.execute(told.values(told=known))
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


def _first_finished(connection: Connection, sweep_id: int) -> Sequence[Any]:
    """Return state and error of the first finished jobs, in the order of their rows."""
    query = (
        sa.select(jobs.c.state, jobs.c.error)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        # Images and failures of other sweeps say nothing about this one.
        .where(sweep_jobs.c.sweep_id == sweep_id, jobs.c.sweep_id == sweep_id)
        .where(jobs.c.state.in_((*MADE_STATES, *FAILED)))
        .order_by(sweep_jobs.c.job_id)
        .limit(JUDGED)
    )
    return connection.execute(query).all()


def _has_failed(database: Database, sweep: Any, first: Sequence[Any]) -> bool:
    """Judge a sweep if it is time; return whether that paused it."""
    errors = Counter(row.error for row in first if row.state in FAILED)
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
    paused = {"judged": True, "state": "paused", "reason": reason, **CHANGED}
    if not _note(database, sweep.id, paused):
        return False
    log.warning("%s is paused: %s", name, reason, extra={"action": "sweep_paused"})
    _tell(database, sweep.id)
    return True


def _note(database: Database, sweep_id: int, values: Mapping[str, Any]) -> bool:
    """Change a sweep unless judged or stopped meanwhile; return whether it changed."""
    same = sa.update(sweeps).where(sweeps.c.id == sweep_id, ACTIVE, ~sweeps.c.judged)
    with database.write() as connection:
        if not connection.execute(same.values(values)).rowcount:
            return False
        if "state" in values:
            rank(connection, LEASED)
    return True
