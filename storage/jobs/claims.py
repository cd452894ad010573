"""Which worker makes which job: claims with a lease, heartbeats, hand-backs.

SQL is the truth. A message from Redis is a hint; a job runs only after its row went
from `pending` to `leased` here, and it is done only when its row says so.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import Job
from storage.jobs import quota_holds, quotas
from storage.jobs.allowances import Allowances
from storage.jobs.budgets import stop_reached
from storage.jobs.fair_shares import order_payers
from storage.jobs.membership import rank
from storage.jobs.runnable_groups import levels
from storage.jobs.sweeps import BEHIND
from storage.sql import leases
from storage.sql.database import Database, utc_now
from storage.sql.row_counts import count_rows
from storage.sql.rows import job_columns, job_from_row
from storage.sql.schema import LEASED, RUNNABLE, jobs, sweeps

#: How often a worker renews a lease within the time that the lease lasts.
BEATS_PER_LEASE = 6
#: Why a job is quarantined.
QUARANTINED = (
    "its worker died {deaths} times with this job alone; see the worker's log, then "
    "try it again with `nightsweep retry`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that one worker owns until its lease ends.

    Attributes:
        id: Row of the job.
        job: What to make.
        scheduler: Name of its scheduler, as its first sweep asked for it.
        attempts: Times that it was claimed, this one included.
        evaluations: How often the model is called for it, as planned.
        created_at: When it was submitted; ISO 8601, UTC.
        claimed_at: When it was claimed; likewise.
        sweep: Name of the sweep that wanted it first.
    """

    id: int
    job: Job
    scheduler: str
    attempts: int
    evaluations: int
    created_at: str
    claimed_at: str
    sweep: str = ""

    @property
    def is_suspect(self) -> bool:
        """Whether it was claimed before and not finished: it may kill a worker."""
        return self.attempts > 1


def claim(  # noqa: PLR0913 - each is a rule of the choice
    database: Database,
    *,
    owner: str,
    lease_s: float,
    group: str,
    limit: int,
    fresh: bool = False,
    longest_first: bool = False,
) -> list[Claim]:
    """Take up to `limit` runnable jobs of a group, in order of execution.

    At equal priority, the jobs of the owner come first who has used the least of the
    GPUs; those of one owner are in the order of their sweeps.

    A job that was claimed before and not finished is claimed alone: if the worker dies,
    that job is known to be the cause. Sweeps that have reached a limit are paused
    before, sweeps whose owner has reached a quota afterwards. No sweep gets more jobs
    than its limits, and the quota of its owner, allow.

    Args:
        database: Where the jobs are.
        owner: The worker that claims.
        lease_s: Seconds that the claim lasts without a heartbeat.
        group: The batch group.
        limit: Jobs at most.
        fresh: Whether to leave out jobs that were claimed before: others are in hand.
        longest_first: Whether to take the jobs with the most evaluations first, of
            whatever owner: for the end of a group.
    """
    wanted = jobs.c.group_key == group
    if fresh:
        wanted = sa.and_(wanted, jobs.c.attempts == 0)
    stop_reached(database)
    with database.write() as connection:
        spent = quotas.find_spent(connection)
        if longest_first:
            able = sa.and_(wanted, jobs.c.payer_id.not_in(spent))
            found = _lock_runnable(connection, able, limit, order=_LONGEST_FIRST)
        else:
            found = _lock_by_owner(connection, wanted, limit, spent=spent)
        taken = _claim(connection, found, owner=owner, lease_s=lease_s)
    if spent:
        quota_holds.hold_reached(database)
    return taken


def count_runnable(database: Database, group: str, *, up_to: int) -> int:
    """Count the runnable jobs of a group, but no further than `up_to`."""
    rows = sa.select(jobs.c.id).where(jobs.c.group_key == group, RUNNABLE)
    with database.read() as connection:
        return count_rows(connection, rows, up_to=up_to)


def renew(
    database: Database, *, owner: str, ids: Iterable[int], lease_s: float
) -> set[int]:
    """Renew the leases of `ids`, and return those that `owner` still holds."""
    which = jobs.c.id.in_(list(ids))
    with database.write() as connection:
        held = leases.renew(connection, jobs, which, owner=owner, lease_s=lease_s)
        return set(connection.execute(sa.select(jobs.c.id).where(held)).scalars())


def hand_back(
    database: Database, *, owner: str, ids: Iterable[int], suspected: bool = False
) -> None:
    """Hand claimed jobs back unmade; no attempt is counted.

    Args:
        database: Where the jobs are.
        owner: The worker that claimed them.
        ids: Their rows.
        suspected: Whether the device failed with them in hand. Then they wait behind
            the rest of their group. If they already did, one of them may be the cause:
            the attempt counts, and they are claimed one by one. This applies to no
            more jobs of a group than were in hand at once, since the device itself
            may be the cause.
    """
    mine = sa.and_(jobs.c.id.in_(list(ids)), jobs.c.owner == owner)
    with database.write() as connection:
        changes = _suspicion(connection, mine) if suspected else {}
        leases.free(connection, jobs, mine, **changes)


def _suspicion(connection: Connection, which: sa.ColumnElement[bool]) -> dict[str, Any]:
    groups = sa.select(jobs.c.group_key).where(which)
    query = sa.select(jobs.c.id).where(
        jobs.c.group_key.in_(groups), RUNNABLE, jobs.c.attempts > 0
    )
    becomes = jobs.c.position >= BEHIND
    if connection.execute(query.limit(1)).first():
        becomes = sa.false()
    counts = sa.or_(jobs.c.attempts > 1, becomes)
    attempts = jobs.c.attempts - sa.case((counts, 0), else_=1)
    return {"attempts": attempts, "position": jobs.c.position + BEHIND}


def free_expired(database: Database) -> int:
    """Free the jobs of workers that were silent for too long; return how many.

    A lost host says nothing about the job, so no attempt is counted.
    """
    with database.write() as connection:
        return leases.free(connection, jobs, leases.is_expired(connection, jobs))


def free_owner(database: Database, owner: str, *, died: bool) -> int:
    """Free the jobs of a worker that is gone; return how many it held.

    Args:
        database: Where the jobs are.
        owner: Its name, or the prefix that `worker_ids.process_name` returns.
        died: Whether a job may be to blame: it crashed while its supervisor was alive,
            or was stuck with jobs in hand and was killed. Then its jobs wait behind the
            rest of their group, to be claimed one by one. A job that was held alone in
            `leases.MAX_DEATHS` such deaths is quarantined.
    """
    mine = jobs.c.owner.startswith(owner, autoescape=True)
    with database.write() as connection:
        if not died:
            return leases.free(connection, jobs, mine)
        return leases.free_the_killed(
            connection,
            jobs,
            mine,
            given_up="quarantined",
            error=QUARANTINED,
            position=jobs.c.position + BEHIND,
        )


def unwanted(database: Database, owner: str) -> set[int]:
    """Return the jobs that `owner` holds but no active sweep wants any more."""
    query = sa.select(jobs.c.id).where(
        LEASED, jobs.c.owner == owner, jobs.c.priority.is_(None)
    )
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def leased_owners(database: Database) -> set[str]:
    """Return the name of every worker that owns a job now."""
    with database.read() as connection:
        return leases.leased_owners(connection, jobs)


#: Jobs that were claimed before stay behind.
_LONGEST_FIRST = (
    jobs.c.priority,
    sa.case((jobs.c.attempts > 0, 1), else_=0),
    jobs.c.evaluations.desc(),
    jobs.c.position,
)


def _claim(
    connection: Connection, found: Sequence[Any], *, owner: str, lease_s: float
) -> list[Claim]:
    """Claim those of the locked rows that may be made now, or the suspect alone."""
    if not found:
        return []
    # Lock the budgets before asking which jobs are still wanted. `stop_reached` pauses
    # a sweep and writes its budget in one transaction. If that came first, the sweep
    # wants these jobs no more; otherwise it waits for this transaction. In the other
    # order, a sweep that is paused between the two steps would seem to want its jobs
    # and to have no budget.
    allowances = Allowances(connection, wanted=len(found))
    found = allowances.choose(_leave_unwanted(connection, found))
    found = quotas.allow(connection, found)
    if not found:
        return []
    ids = [row.id for row in leases.choose_fresh(found)]
    which = jobs.c.id.in_(ids)
    leases.lease(connection, jobs, which, owner=owner, lease_s=lease_s)
    return _read_claims(connection, ids)


def _lock_by_owner(
    connection: Connection,
    wanted: sa.ColumnElement[bool],
    limit: int,
    *,
    spent: Collection[int],
) -> Sequence[Any]:
    """Lock runnable jobs, the most urgent first, of owners in the order of shares.

    Each query reads the jobs of one owner in the order of the index. Owners who have
    `spent` their quota are passed over.
    """
    found: list[Any] = []
    for priority, payers in levels(connection, wanted):
        able = [each for each in payers if each not in spent]
        for payer in order_payers(connection, able):
            left = limit - len(found)
            if not left:
                break
            its = sa.and_(wanted, jobs.c.priority == priority, jobs.c.payer_id == payer)
            found += _lock_runnable(connection, its, left, order=[jobs.c.position])
        if len(found) == limit:
            break
    # What waits behind waits behind the jobs of all owners.
    return sorted(found, key=lambda row: row.position >= BEHIND)


def _lock_runnable(
    connection: Connection,
    wanted: sa.ColumnElement[bool],
    limit: int,
    *,
    order: Sequence[sa.ColumnElement[Any]],
) -> Sequence[Any]:
    query = (
        sa.select(jobs.c.id, jobs.c.attempts, jobs.c.position)
        .where(wanted, RUNNABLE)
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()


def _leave_unwanted(connection: Connection, found: Sequence[Any]) -> Sequence[Any]:
    """Return the rows of jobs that are still wanted.

    Pausing or cancelling changes the sweep first and its jobs afterwards: jobs that do
    not have the change yet get it here.
    """
    ids = jobs.c.id.in_([row.id for row in found])
    if not found or not rank(connection, ids):
        return found
    query = sa.select(jobs.c.id).where(ids, jobs.c.priority.is_not(None))
    wanted = set(connection.execute(query).scalars())
    return [row for row in found if row.id in wanted]


def _read_claims(connection: Connection, ids: Sequence[int]) -> list[Claim]:
    """Read claimed jobs, in the order of `ids`."""
    place = {job_id: number for number, job_id in enumerate(ids)}
    now = utc_now()
    name = sa.select(sweeps.c.name).where(sweeps.c.id == jobs.c.sweep_id)
    query = job_columns().add_columns(name.scalar_subquery().label("sweep_name"))
    found = [
        Claim(
            id=row.id,
            job=job_from_row(row),
            scheduler=row.scheduler_name,
            attempts=row.attempts,
            evaluations=row.evaluations,
            created_at=row.created_at,
            claimed_at=now,
            sweep=row.sweep_name,
        )
        for row in connection.execute(query.where(jobs.c.id.in_(ids)))
    ]
    return sorted(found, key=lambda claim: place[claim.id])
