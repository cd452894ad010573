"""Quotas: how many GPU-hours the sweeps of one owner may take, in all or in a period.

An image counts when it is made, with the seconds of its result, as in budgets. Attempts
that failed, or whose worker died, do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import Budget, Limits
from storage.jobs.owner_uses import select_owners, sum_of
from storage.jobs.owners import keep_owner
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.schema import HELD, jobs, owner_uses, owners

_HOUR_S = 3600.0
WITH_QUOTA = owners.c.gpu_s.is_not(None)


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
            values |= begin(period, clock(connection))
        connection.execute(
            sa.update(owners).where(owners.c.id == owner_id).values(values)
        )


def remove_quota(database: Database, owner: str) -> bool:
    """Take an owner's quota away; return whether there was one."""
    nothing = {"gpu_s": None, "period": None, "ends_at": None}
    mine = sa.and_(owners.c.name == owner, WITH_QUOTA)
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
        return [quota_of(row, now) for row in connection.execute(query)]


def find_quota(database: Database, owner: str | None) -> Quota | None:
    """Return the quota of an owner; None if there is none."""
    query = select_owners().where(owners.c.name == owner, WITH_QUOTA)
    with database.read() as connection:
        row = connection.execute(query).first() if owner else None
        return quota_of(row, clock(connection)) if row else None


def find_spent(connection: Connection) -> set[int]:
    """Return the owners whose quota has no room for a job beside those in hand.

    Nothing is locked; `allow` has the last word.
    """
    limited = connection.execute(sa.select(owners.c.id).where(WITH_QUOTA))
    left = _read_left(connection, limited.scalars().all())
    return {owner_id for owner_id, count in left.items() if count == 0}


def allow(connection: Connection, found: Sequence[Any]) -> Sequence[Any]:
    """Return those of the locked rows of jobs that quotas allow to claim.

    On PostgreSQL it locks the rows of their owners, so that two workers do not claim
    what is left of a quota twice.
    """
    if not found:
        return found
    mine = jobs.c.id.in_([row.id for row in found])
    payers = sa.select(jobs.c.payer_id).where(mine)
    query = sa.select(owners.c.id).where(WITH_QUOTA, owners.c.id.in_(payers))
    query = query.order_by(owners.c.id).with_for_update()
    limited = connection.execute(query).scalars().all()
    if not limited:
        return found
    left = _read_left(connection, limited)
    of_jobs = connection.execute(sa.select(jobs.c.id, jobs.c.payer_id).where(mine))
    payer_of = {row.id: row.payer_id for row in of_jobs}
    return [row for row in found if _spend(left, payer_of[row.id])]


def describe(quota: Quota) -> str:
    """Say how much a quota is: `100 GPU-hours a week`."""
    number = f"{(quota.gpu_s or 0.0) / _HOUR_S:,.4g}"
    hours = f"{number} GPU-hour{'' if number == '1' else 's'}"
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


def begin(period: str | None, now: float) -> dict[str, Any]:
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
    if not owner_ids:
        return {}
    # First: a job that is finished meanwhile then counts twice, and not never.
    held = sa.select(jobs.c.payer_id, sa.func.count()).where(HELD)
    held = held.where(jobs.c.payer_id.in_(owner_ids)).group_by(jobs.c.payer_id)
    in_hand = {payer: int(count) for payer, count in connection.execute(held)}
    now = clock(connection)
    rows = connection.execute(select_owners().where(owners.c.id.in_(owner_ids)))
    return {
        row.id: quota_of(row, now).budget.allow(now, in_hand=in_hand.get(row.id, 0))
        for row in rows
    }


def _spend(left: dict[int, int | None], payer: int) -> bool:
    """Take one job from what an owner may claim; return whether there was one."""
    count = left.get(payer)
    if count is None:
        return True
    left[payer] = count - 1
    return count > 0


def quota_of(row: Any, now: float) -> Quota:
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
