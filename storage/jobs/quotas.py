"""Quotas: how many GPU-hours the sweeps of one owner may take, in all or in a period.

It is the mechanism of budgets, for an owner in place of a sweep: `owners` counts what
images took, and an owner at the quota has all of his sweeps paused, with `QUOTA` as
what they reached. Workers finish their jobs in hand. The sweeps are active again when
the quota is raised, removed or begins anew, unless somebody paused or cancelled them
meanwhile.

An image counts when it is made, with the seconds of its result, as in budgets. Attempts
that failed, or whose worker died, do not count.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import QUOTA, Budget, Limits, lift_quota, lock_active, pause
from storage.jobs.owner_uses import select_owners, sum_of
from storage.jobs.owners import keep_owner
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.schema import HELD, budgets, jobs, owner_uses, owners, sweeps

log = logging.getLogger(__name__)

_HOUR_S = 3600.0
_WITH_QUOTA = owners.c.gpu_s.is_not(None)
#: Sweeps that a quota stopped.
_IS_HELD = budgets.c.reached == QUOTA
_OWNERS_OF = (
    select_owners()
    .join(sweeps, sweeps.c.owner_id == owners.c.id)
    .add_columns(sweeps.c.id.label("sweep_id"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What an owner may use, and has used.

    Attributes:
        owner: The name; None for the sweeps that have no owner.
        gpu_s: GPU seconds that images may take; None for any number.
        period: How often it begins anew, of `storage.sql.schema.QUOTA_PERIODS`; None
            for never.
        used_s: GPU seconds that images took in this period, or since it was set.
        made: Images that were made meanwhile.
        ends_at: When the period ends, in seconds since 1970.
        total_s: GPU seconds that the owner's images ever took.
        total: How many these are.
    """

    owner: str | None
    gpu_s: float | None = None
    period: str | None = None
    used_s: float = 0.0
    made: int = 0
    ends_at: float | None = None
    total_s: float = 0.0
    total: int = 0

    @property
    def budget(self) -> Budget:
        """The same as a budget."""
        limits = Limits(gpu_s=self.gpu_s)
        return Budget(limits=limits, used_s=self.used_s, made=self.made)

    @property
    def is_reached(self) -> bool:
        """Whether nothing is left of it."""
        return self.gpu_s is not None and self.used_s >= self.gpu_s

    @property
    def left_s(self) -> float | None:
        """GPU seconds that are left of it; None for any number."""
        return None if self.gpu_s is None else max(self.gpu_s - self.used_s, 0.0)


def set_quota(
    database: Database, owner: str, gpu_s: float, *, period: str | None
) -> None:
    """Give an owner a quota, or another one than before.

    What was used in the same period still counts. With another period it counts from
    now on, and so does the first quota of an owner.
    """
    with database.write() as connection:
        owner_id = keep_owner(connection, owner)
        query = sa.select(owners).where(owners.c.id == owner_id).with_for_update()
        row = connection.execute(query).one()
        values: dict[str, Any] = {"gpu_s": gpu_s, "period": period}
        if row.gpu_s is None or row.period != period:
            values |= _begin(period, clock(connection))
        connection.execute(
            sa.update(owners).where(owners.c.id == owner_id).values(values)
        )


def remove_quota(database: Database, owner: str) -> bool:
    """Take an owner's quota away; return whether there was one."""
    nothing = {"gpu_s": None, "period": None, "ends_at": None}
    mine = sa.and_(owners.c.name == owner, _WITH_QUOTA)
    with database.write() as connection:
        found = connection.execute(sa.update(owners).where(mine).values(nothing))
    return bool(found.rowcount)


def list_quotas(database: Database) -> list[Quota]:
    """Return every owner with a quota or with images, by name."""
    has_used = owners.c.id.in_(sa.select(owner_uses.c.owner_id))
    is_known = sa.or_(owners.c.name.is_not(None), has_used)
    query = select_owners().where(is_known).order_by(owners.c.name)
    with database.read() as connection:
        now = clock(connection)
        return [_quota(row, now) for row in connection.execute(query)]


def find_quota(database: Database, owner: str | None) -> Quota | None:
    """Return the quota of an owner; None if there is none."""
    query = select_owners().where(owners.c.name == owner, _WITH_QUOTA)
    with database.read() as connection:
        row = connection.execute(query).first() if owner else None
        return _quota(row, clock(connection)) if row else None


def hold_reached(database: Database) -> list[str]:
    """Pause the active sweeps of owners at their quota; return their names.

    Their jobs follow as with any change; see `storage.jobs.lifecycle`.
    """
    with database.read() as connection:
        rows = connection.execute(select_owners().where(_WITH_QUOTA)).all()
        now = clock(connection) if rows else 0.0
        reached = [row.id for row in rows if _quota(row, now).is_reached]
        found = _led_sweeps(connection, reached, sweeps.c.state == "active")
    return [name for each in found if (name := _hold(database, each))]


def release(database: Database) -> list[str]:
    """Begin periods anew, and let sweeps go on whose owner's quota leaves room."""
    _begin_periods(database)
    is_held = sweeps.c.id.in_(sa.select(budgets.c.sweep_id).where(_IS_HELD))
    with database.read() as connection:
        held = connection.execute(_OWNERS_OF.where(is_held)).all()
        now = clock(connection) if held else 0.0
        free = {row.sweep_id for row in held if not _quota(row, now).is_reached}
    return [name for each in sorted(free) if (name := _let_go(database, each))]


def allow(connection: Connection, found: Sequence[Any]) -> Sequence[Any]:
    """Return those of the locked rows of jobs that quotas allow to claim.

    On PostgreSQL it locks the rows of their owners, so that two workers do not claim
    what is left of a quota twice.
    """
    if not found:
        return found
    mine = jobs.c.id.in_([row.id for row in found])
    payers = sa.select(jobs.c.payer_id).where(mine)
    query = sa.select(owners.c.id).where(_WITH_QUOTA, owners.c.id.in_(payers))
    query = query.order_by(owners.c.id).with_for_update()
    limited = connection.execute(query).scalars().all()
    if not limited:
        return found
    left = _read_left(connection, limited)
    of_jobs = connection.execute(sa.select(jobs.c.id, jobs.c.payer_id).where(mine))
    payer_of = {row.id: row.payer_id for row in of_jobs}
    return [row for row in found if _spend(left, payer_of[row.id])]


def describe_reached(quota: Quota) -> str:
    """Say why the sweeps of an owner are paused."""
    return f"the quota of {quota.owner}, {describe(quota)}, is used"


def describe(quota: Quota) -> str:
    """Say how much a quota is: `100 GPU-hours a week`."""
    hours = f"{(quota.gpu_s or 0.0) / _HOUR_S:,.4g} GPU-hours"
    return f"{hours} a {quota.period}" if quota.period else f"{hours} in all"


def end_of_period(period: str, now: float) -> float:
    """Return when the present period ends, in seconds since 1970; UTC.

    Weeks begin on Monday, and months on their first day.
    """
    at = datetime.fromtimestamp(now, UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        end = day + timedelta(days=1)
    elif period == "week":
        end = day + timedelta(days=7 - day.weekday())
    else:
        end = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return end.timestamp()


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
    return _quota(row, clock(connection))


def _begin_periods(database: Database) -> None:
    with database.read() as connection:
        now = clock(connection)
        is_over = owners.c.ends_at <= now
        over = connection.execute(sa.select(owners).where(is_over)).all()
    for row in over:
        with database.write() as connection:
            mine = sa.and_(owners.c.id == row.id, is_over)
            values = _begin(row.period, now)
            connection.execute(sa.update(owners).where(mine).values(values))


def _begin(period: str | None, now: float) -> dict[str, Any]:
    """Return the values with which a quota begins to count."""
    ends_at = end_of_period(period, now) if period else None
    return {
        "base_s": sum_of(owner_uses.c.used_s),
        "base_made": sum_of(owner_uses.c.made),
        "ends_at": ends_at,
    }


def _read_left(
    connection: Connection, owner_ids: Sequence[int]
) -> dict[int, int | None]:
    """Return how many jobs owners may claim; None for any number."""
    # First: a job that is finished meanwhile then counts twice, and not never.
    held = sa.select(jobs.c.payer_id, sa.func.count()).where(HELD)
    held = held.where(jobs.c.payer_id.in_(owner_ids)).group_by(jobs.c.payer_id)
    in_hand = {payer: int(count) for payer, count in connection.execute(held)}
    now = clock(connection)
    rows = connection.execute(select_owners().where(owners.c.id.in_(owner_ids)))
    return {
        row.id: _quota(row, now).budget.allow(now, in_hand=in_hand.get(row.id, 0))
        for row in rows
    }


def _spend(left: dict[int, int | None], payer: int) -> bool:
    """Take one job from what an owner may claim; return whether there was one."""
    count = left.get(payer)
    if count is None:
        return True
    left[payer] = count - 1
    return count > 0


def _quota(row: Any, now: float) -> Quota:
    """Return the quota of a row of `owners`; a period that is over counts nothing."""
    is_over = row.ends_at is not None and row.ends_at <= now
    has_quota = row.gpu_s is not None
    return Quota(
        owner=row.name,
        gpu_s=row.gpu_s,
        period=row.period,
        used_s=0.0 if is_over or not has_quota else row.used_s - row.base_s,
        made=0 if is_over or not has_quota else row.made - row.base_made,
        ends_at=row.ends_at,
        total_s=row.used_s,
        total=row.made,
    )
