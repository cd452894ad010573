"""Sweeps that wait since their owner has reached a quota.

It is the mechanism of budgets, for an owner in place of a sweep: an owner at the quota
has all sweeps paused, with `QUOTA` as what they reached. Workers finish their jobs in
hand. The sweeps are active again when the quota is raised, removed or begins anew,
unless somebody paused or cancelled them meanwhile.
"""

import logging
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import QUOTA, lift_quota, lock_active, pause
from storage.jobs.owner_uses import select_owners
from storage.jobs.quotas import WITH_QUOTA, Quota, begin, describe, quota_of
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.schema import budgets, owners, sweeps

log = logging.getLogger(__name__)

#: Sweeps that a quota stopped.
_IS_HELD = budgets.c.reached == QUOTA
_OWNERS_OF = (
    select_owners()
    .join(sweeps, sweeps.c.owner_id == owners.c.id)
    .add_columns(sweeps.c.id.label("sweep_id"))
)


def hold_reached(database: Database) -> list[str]:
    """Pause the active sweeps of owners at their quota; return their names.

    Their jobs follow as with any change; see `storage.jobs.lifecycle`.
    """
    with database.read() as connection:
        rows = connection.execute(select_owners().where(WITH_QUOTA)).all()
        now = clock(connection) if rows else 0.0
        reached = [row.id for row in rows if quota_of(row, now).is_reached]
        found = _led_sweeps(connection, reached, sweeps.c.state == "active")
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


def _led_sweeps(
    connection: Connection, owner_ids: Sequence[int], which: sa.ColumnElement[bool]
) -> list[int]:
    if not owner_ids:
        return []
    query = sa.select(sweeps.c.id).where(
        sweeps.c.owner_id.in_(owner_ids), sweeps.c.reference_of.is_(None), which
    )
    return list(connection.execute(query.order_by(sweeps.c.id)).scalars())


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
