"""The budget of a sweep: limits on its time and its images, and what was used of them.

A sweep that reaches a limit is paused. Its waiting jobs are claimed no more, and the
jobs in hand are finished. Counters hold what was used, since a sweep may have millions
of images: `note_made` adds to them in the transaction that marks images as done.

An image counts for one sweep: of the active ones that want it, the most urgent, and of
these the oldest. If none is active, it counts for one that finishes its jobs in hand.
References count for the sweep whose scores they serve.

All times are those of the database's clock, as with leases, so that hosts whose clocks
differ stop together.

All code locks rows of sweeps first, then those of jobs, then budgets.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.clocks import clock
from storage.sql.database import Database, insert_into
from storage.sql.schema import budgets, sweep_jobs, sweeps

log = logging.getLogger(__name__)

_ACTIVE = sweeps.c.state == "active"
#: The sweep itself, or the one whose references it holds.
LEADER = sa.func.coalesce(sweeps.c.reference_of, sweeps.c.id)
_STOPPED = sa.select(budgets.c.sweep_id).where(budgets.c.reached.is_not(None))
#: Sweeps whose jobs in hand are finished though they are paused.
FINISHING = sa.and_(sweeps.c.state == "paused", LEADER.in_(_STOPPED))
#: The budgets of active sweeps: few, however many sweeps there are.
OPEN = sa.select(budgets).where(
    sa.exists().where(sweeps.c.id == budgets.c.sweep_id, _ACTIVE)
)
#: What `reached` says of a sweep whose owner has reached a quota.
QUOTA = "quota"
#: Why a sweep is paused, by the limit that it reached.
_REASONS = {
    "gpu_s": "its GPU hours are used (limits.gpu_hours)",
    "until": "its time is up (limits.until)",
    "images": "it has made as many images as it may (limits.stop_after_jobs)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What stops a sweep; None for no such limit.

    Attributes:
        gpu_s: Seconds of GPUs that its images may take.
        until: When it stops, in seconds since 1970.
        images: Images that may be made.
    """

    gpu_s: float | None = None
    until: float | None = None
    images: int | None = None

    @property
    def are_set(self) -> bool:
        """Whether there is any."""
        return self != Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of a sweep, and what was used of them.

    Attributes:
        limits: The limits.
        used_s: Seconds of GPUs that its images took since the limits were set.
        made: Images that were made since then.
        reached: The limit that stopped the sweep, by its name in `Limits`, or `QUOTA`;
            else None.
    """

    limits: Limits
    used_s: float = 0.0
    made: int = 0
    reached: str | None = None

    def find_reached(self, now: float) -> str | None:
        """Return the limit that is reached at a time, in seconds since 1970."""
        limits = self.limits
        if limits.until is not None and now >= limits.until:
            return "until"
        if limits.gpu_s is not None and self.used_s >= limits.gpu_s:
            return "gpu_s"
        if limits.images is not None and self.made >= limits.images:
            return "images"
        return None

    def allow(self, now: float, *, in_hand: int) -> int | None:
        """Return how many more jobs may be claimed; None for any number.

        Args:
            now: Seconds since 1970.
            in_hand: Jobs of the sweep that workers hold.
        """
        if self.find_reached(now):
            return 0
        left: list[int] = []
        if self.limits.images is not None:
            left.append(self.limits.images - self.made)
        if self.limits.gpu_s is not None and self.used_s > 0:
            # By the mean of its images, so that those in hand do not overshoot much.
            left_s = self.limits.gpu_s - self.used_s
            left.append(math.ceil(left_s / (self.used_s / self.made)))
        return max(min(left) - in_hand, 0) if left else None


def set_limits(connection: Connection, sweep_id: int, limits: Limits) -> None:
    """Set the limits of a sweep; they replace those that it had.

    What was used of its former limits still counts, unless one of them was reached:
    then the sweep begins anew. A quota of its owner stops it again if need be.
    """
    row = _lock(connection, sweep_id)
    if not limits.are_set:
        connection.execute(sa.delete(budgets).where(budgets.c.sweep_id == sweep_id))
        return
    used = {"used_s": 0.0, "made": 0}
    if row and not (row.reached != QUOTA and _is_reached(connection, row)):
        used = {"used_s": row.used_s, "made": row.made}
    values = {
        "gpu_s": limits.gpu_s,
        "until": limits.until,
        "images": limits.images,
        "reached": None,
        **used,
    }
    statement = insert_into(connection, budgets).values(sweep_id=sweep_id, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["sweep_id"], set_=values)
    )


def lift_reached(connection: Connection, sweep_id: int) -> None:
    """Remove the limits of a sweep that has reached one of them."""
    lift_quota(connection, sweep_id)
    row = _lock(connection, sweep_id)
    if row and _is_reached(connection, row):
        connection.execute(sa.delete(budgets).where(budgets.c.sweep_id == sweep_id))


def lift_quota(connection: Connection, sweep_id: int) -> None:
    """Note that no quota stops a sweep any more; its own limits stay."""
    row = _lock(connection, sweep_id)
    if row is None or row.reached != QUOTA:
        return
    mine = budgets.c.sweep_id == sweep_id
    if budget_of(row).limits.are_set:
        connection.execute(sa.update(budgets).where(mine).values(reached=None))
    else:
        connection.execute(sa.delete(budgets).where(mine))


def find_budget(database: Database, sweep_id: int) -> Budget | None:
    """Return the budget of a sweep; None if it has no limits."""
    query = sa.select(budgets).where(budgets.c.sweep_id == sweep_id)
    with database.read() as connection:
        row = connection.execute(query).first()
    return budget_of(row) if row else None


def note_made(connection: Connection, seconds: Mapping[int, float]) -> None:
    """Count images for the sweeps that claimed them.

    Call it in the transaction that marks them as done, so that each counts once.

    Args:
        connection: That transaction.
        seconds: What each image took of a GPU, by the id of its job.
    """
    if not seconds or not connection.execute(sa.select(budgets).limit(1)).first():
        return
    used: dict[int, list[float]] = {}
    for job_id, sweep_id in find_payers(connection, seconds).items():
        used.setdefault(sweep_id, []).append(seconds[job_id])
    # In the order of their ids, as all rows that are locked.
    for sweep_id, each in sorted(used.items()):
        connection.execute(
            sa.update(budgets)
            .where(budgets.c.sweep_id == sweep_id)
            .values(
                used_s=budgets.c.used_s + sum(each), made=budgets.c.made + len(each)
            )
        )


def stop_reached(database: Database) -> list[str]:
    """Pause the active sweeps that have reached a limit; return their names.

    Their jobs follow as with any change; see `storage.jobs.lifecycle`.
    """
    with database.read() as connection:
        rows = connection.execute(OPEN).all()
        now = clock(connection) if rows else 0.0
    reached = [row.sweep_id for row in rows if budget_of(row).find_reached(now)]
    return [name for each in reached if (name := _stop(database, each))]


def _stop(database: Database, sweep_id: int) -> str | None:
    """Pause a sweep and its references, unless it was given more meanwhile."""
    with database.write() as connection:
        name = lock_active(connection, sweep_id)
        row = connection.execute(
            sa.select(budgets).where(budgets.c.sweep_id == sweep_id)
        ).first()
        reached = budget_of(row).find_reached(clock(connection)) if row else None
        if not name or not reached:
            return None
        pause(connection, sweep_id, reached=reached, reason=_REASONS[reached])
    log.warning("%s: %s", name, _REASONS[reached], extra={"action": "limit_reached"})
    return name


def lock_active(connection: Connection, sweep_id: int) -> str | None:
    """Lock a sweep until the commit; return its name, or None if it is not active."""
    query = sa.select(sweeps.c.name).where(sweeps.c.id == sweep_id, _ACTIVE)
    name: str | None = connection.execute(query.with_for_update()).scalar()
    return name


def pause(connection: Connection, sweep_id: int, *, reached: str, reason: str) -> None:
    """Pause a locked sweep and its references, and note what it has reached."""
    connection.execute(
        sa.update(sweeps)
        .where(is_led_by(sweep_id), _ACTIVE)
        .values(state="paused", reason=reason, changes=sweeps.c.changes + 1)
    )
    new = {"sweep_id": sweep_id, "used_s": 0.0, "made": 0, "reached": reached}
    connection.execute(
        insert_into(connection, budgets)
        .values(new)
        .on_conflict_do_update(index_elements=["sweep_id"], set_={"reached": reached})
    )


def _lock(connection: Connection, sweep_id: int) -> Any:
    mine = budgets.c.sweep_id == sweep_id
    return connection.execute(sa.select(budgets).where(mine).with_for_update()).first()


def _is_reached(connection: Connection, row: Any) -> bool:
    """Return whether a limit is reached, even if nobody has stopped the sweep yet."""
    return bool(row.reached or budget_of(row).find_reached(clock(connection)))


def find_payers(connection: Connection, ids: Iterable[int]) -> dict[int, int]:
    """Return the sweep that each job counts for, by the id of the job."""
    query = (
        sa.select(sweep_jobs.c.job_id, LEADER)
        .join(sweeps, sweeps.c.id == sweep_jobs.c.sweep_id)
        .where(sweep_jobs.c.job_id.in_(list(ids)), sa.or_(_ACTIVE, FINISHING))
        # A sweep at its limit must not pay for what another has claimed: that one would
        # never reach its own limit.
        .order_by(sa.case((_ACTIVE, 0), else_=1), sweeps.c.priority, sweeps.c.id)
    )
    payers: dict[int, int] = {}
    for job_id, sweep_id in connection.execute(query):
        payers.setdefault(job_id, sweep_id)
    return payers


def is_led_by(sweep_id: int) -> sa.ColumnElement[bool]:
    """Return whether a sweep is this one or holds its references."""
    return sa.or_(sweeps.c.id == sweep_id, sweeps.c.reference_of == sweep_id)


def budget_of(row: Any) -> Budget:
    """Return the budget of a row of `budgets`."""
    return Budget(
        limits=Limits(gpu_s=row.gpu_s, until=row.until, images=row.images),
        used_s=row.used_s,
        made=row.made,
        reached=row.reached,
    )
