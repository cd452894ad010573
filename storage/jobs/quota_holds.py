"""Sweeps that wait since their owner has reached a quota.

It is the mechanism of budgets, for an owner in place of a sweep: of an owner at the
quota, the sweeps with waiting jobs are paused, with `QUOTA` as what they reached.
Workers finish their jobs in hand. The sweeps are active again when the quota is raised,
removed or begins anew, unless somebody paused or cancelled them meanwhile.
"""

import logging
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import LEADER, QUOTA, lift_quota, lock_active, pause
from storage.jobs.membership import ACTIVE
from storage.jobs.owner_uses import select_owners
from storage.jobs.quotas import WITH_QUOTA, Quota, begin, describe, quota_of
from storage.jobs.runnable_groups import levels, runnable_groups
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.schema import RUNNABLE, budgets, jobs, owners, sweep_jobs, sweeps

#: Jobs of an owner, of one group and priority, whose sweeps are looked up at a time.
_FIRST_JOBS = 500
log = logging.getLogger(__name__)

#: Sweeps that a quota stopped.
_IS_HELD = budgets.c.reached == QUOTA
_OWNERS_OF = (
    select_owners()
    .join(sweeps, sweeps.c.owner_id == owners.c.id)
    .add_columns(sweeps.c.id.label("sweep_id"))
)


def hold_reached(database: Database) -> list[str]:
    """Pause sweeps that wait, of owners at their quota; return the names of these.

    A sweep with nothing left to claim stays as it is. It looks at the first jobs of
    each owner, so it may have to be called again once the jobs know that their sweeps
    are paused; see `storage.jobs.lifecycle`.
    """
    with database.read() as connection:
        rows = connection.execute(select_owners().where(WITH_QUOTA)).all()
        now = clock(connection) if rows else 0.0
    reached = {row.id for row in rows if quota_of(row, now).is_reached}
    found = _waiting_sweeps(database, reached) if reached else []
    return [name for each in found if (name := _hold(database, each))]


def release(database: Database) -> list[str]:
    """Begin periods anew, and let sweeps go on whose owner's quota leaves room."""
    _begin_periods(database)
    is_held = sweeps.c.id.in_(sa.select(budgets.c.sweep_id).where(_IS_HELD))
    with database.read() as connection:
        held = connection.execute(_OWNERS_OF.where(is_held)).all()
        now = clock(connection) if held else 0.0
        free = {row.sweep_id for row in held if not quota_of(row, now).is_reached}
    return [name for each in sorted(free) if (name := _let_go(database, each))]


def describe_reached(quota: Quota) -> str:
    """Say why the sweeps of an owner are paused."""
    return f"the quota of {quota.owner}, {describe(quota)}, is used"


def _waiting_sweeps(database: Database, owner_ids: Collection[int]) -> list[int]:
    """Return active sweeps of owners that want the first of their runnable jobs."""
    found: set[int] = set()
    groups = runnable_groups(database)
    with database.read() as connection:
        for group in groups:
            wanted = jobs.c.group_key == group.key
            for priority, payers in levels(connection, wanted):
                level = sa.and_(wanted, jobs.c.priority == priority)
                for payer in sorted(set(payers) & set(owner_ids)):
                    found |= _first_sweeps(connection, level, payer)
    return sorted(found)


def _first_sweeps(
    connection: Connection, which: sa.ColumnElement[bool], payer: int
) -> set[int]:
    first = (
        sa.select(jobs.c.id)
        .where(which, RUNNABLE, jobs.c.payer_id == payer)
        .order_by(jobs.c.position)
        .limit(_FIRST_JOBS)
    )
    query = (
        sa.select(LEADER)
        .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
        .where(sweep_jobs.c.job_id.in_(first), sweeps.c.owner_id == payer, ACTIVE)
    )
    return set(connection.execute(query.distinct()).scalars())


def _hold(database: Database, sweep_id: int) -> str | None:
    """Pause a sweep, unless its owner was given more meanwhile."""
    with database.write() as connection:
        name = lock_active(connection, sweep_id)
        quota = _quota_of(connection, sweep_id)
        if not name or not quota.is_reached:
            return None
        reason = describe_reached(quota)
        pause(connection, sweep_id, reached=QUOTA, reason=reason)
    log.warning("%s: %s", name, reason, extra={"action": "quota_reached"})
    return name


def _let_go(database: Database, sweep_id: int) -> str | None:
    """Make a held sweep and its references active, unless somebody changed it."""
    query = sa.select(sweeps.c.name, sweeps.c.state).where(sweeps.c.id == sweep_id)
    mine = sa.or_(sweeps.c.id == sweep_id, sweeps.c.reference_of == sweep_id)
    active = {"state": "active", "reason": None, "changes": sweeps.c.changes + 1}
    with database.write() as connection:
        row = connection.execute(query.with_for_update()).one()
        held = sa.select(budgets.c.sweep_id).where(budgets.c.sweep_id == sweep_id)
        is_held = connection.execute(held.where(_IS_HELD)).first()
        lift_quota(connection, sweep_id)
        if row.state != "paused" or not is_held:
            return None
        paused = sa.and_(mine, sweeps.c.state == "paused")
        connection.execute(sa.update(sweeps).where(paused).values(active))
    log.info("%s goes on.", row.name, extra={"action": "quota_released"})
    return str(row.name)


def _quota_of(connection: Connection, sweep_id: int) -> Quota:
    row = connection.execute(_OWNERS_OF.where(sweeps.c.id == sweep_id)).one()
    return quota_of(row, clock(connection))


def _begin_periods(database: Database) -> None:
    with database.read() as connection:
        now = clock(connection)
        is_over = owners.c.ends_at <= now
        over = connection.execute(sa.select(owners).where(is_over)).all()
    for row in over:
        with database.write() as connection:
            mine = sa.and_(owners.c.id == row.id, is_over)
            values = begin(row.period, now)
            connection.execute(sa.update(owners).where(mine).values(values))
