"""Which worker makes which job: claims with a lease, beats, hand-backs.

SQL is the truth. A message from Redis is a hint; a job runs only after its row went
from `pending` to `leased` here, and it is done only when its row says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import Database, clock
from storage.job import Job
from storage.rows import job_columns, job_from_row
from storage.schema import LEASED, RUNNABLE, jobs

#: Deaths of a worker, alone with a job, after which the job is set aside.
MAX_DEATHS = 3
#: Added to the position of a job whose worker died: it waits behind its group's rest.
BEHIND = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that one worker owns until its lease ends.

    Attributes:
        id: Row of the job.
        job: What to make.
        attempts: Times that it was claimed, this one included.
        created_at: When it was submitted; ISO 8601, UTC.
    """

    id: int
    job: Job
    attempts: int
    created_at: str


def claim(
    database: Database,
    *,
    owner: str,
    lease_s: float,
    limit: int,
    keys: Sequence[str] = (),
    group: str | None = None,
) -> list[Claim]:
    """Take up to `limit` runnable jobs, most urgent first, in order of execution.

    They come from `keys`, or from all jobs of `group`. A job that was claimed before
    and not finished comes alone, so that if it kills the worker, it is known.
    """
    wanted = jobs.c.group_key == group if group else jobs.c.key.in_(keys)
    with database.write() as connection:
        found = _lock_runnable(connection, wanted, limit)
        if not found:
            return []
        alone = next((i for i, row in enumerate(found) if row.attempts), None)
        chosen = found if alone is None else found[: max(alone, 1)]
        ids = [row.id for row in chosen]
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id.in_(ids))
            .values(
                state="leased",
                owner=owner,
                lease_until=clock(connection) + lease_s,
                attempts=jobs.c.attempts + 1,
            )
        )
        return _read_claims(connection, ids)


def group_of(database: Database, keys: Sequence[str]) -> str | None:
    """Give the batch group of the first of `keys` that has a row, else None."""
    with database.read() as connection:
        query = sa.select(jobs.c.group_key).where(jobs.c.key.in_(keys)).limit(1)
        return connection.execute(query).scalar()


def renew(
    database: Database, *, owner: str, ids: Iterable[int], lease_s: float
) -> set[int]:
    """Lengthen the leases of `ids` and give those that `owner` still has."""
    mine = sa.and_(jobs.c.id.in_(list(ids)), jobs.c.owner == owner, LEASED)
    with database.write() as connection:
        until = clock(connection) + lease_s
        connection.execute(sa.update(jobs).where(mine).values(lease_until=until))
        return set(connection.execute(sa.select(jobs.c.id).where(mine)).scalars())


def hand_back(database: Database, *, owner: str, ids: Iterable[int]) -> None:
    """Give claimed jobs back unmade; no attempt is counted."""
    mine = sa.and_(jobs.c.id.in_(list(ids)), jobs.c.owner == owner)
    with database.write() as connection:
        _free(connection, mine)


def free_expired(database: Database) -> int:
    """Free the jobs of workers that were silent for too long; give how many.

    A lost host says nothing of the job, so no attempt is counted.
    """
    with database.write() as connection:
        return _free(connection, jobs.c.lease_until < clock(connection))


def free_owner(database: Database, owner: str, *, died: bool) -> int:
    """Free the jobs of a worker that is gone; give how many it held.

    Args:
        database: Where the jobs are.
        owner: Its name, or the beginning that `owners.process_name` gives.
        died: Whether it died of its own while its supervisor lived. Then its jobs
            wait behind the others of their group, to be claimed one by one; one
            that was alone with `MAX_DEATHS` such deaths is quarantined.
    """
    mine = jobs.c.owner.startswith(owner, autoescape=True)
    with database.write() as connection:
        if not died:
            return _free(connection, mine)
        query = sa.select(jobs.c.id, jobs.c.deaths).where(mine, LEASED)
        held = connection.execute(query).all()
        if len(held) == 1:
            _count_death(connection, held[0].id, held[0].deaths + 1)
        suspects = {"attempts": jobs.c.attempts, "position": jobs.c.position + BEHIND}
        _free(connection, mine, **suspects)
        return len(held)


def leased_owners(database: Database) -> set[str]:
    """Name every worker that owns a job now."""
    query = sa.select(jobs.c.owner).where(LEASED).distinct()
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def _lock_runnable(
    connection: Connection, wanted: sa.ColumnElement[bool], limit: int
) -> Sequence[Any]:
    query = (
        sa.select(jobs.c.id, jobs.c.attempts)
        .where(wanted, RUNNABLE)
        .order_by(jobs.c.priority, jobs.c.position)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()


def _read_claims(connection: Connection, ids: Sequence[int]) -> list[Claim]:
    order = (jobs.c.priority, jobs.c.position)
    query = job_columns().where(jobs.c.id.in_(ids)).order_by(*order)
    return [
        Claim(
            id=row.id,
            job=job_from_row(row),
            attempts=row.attempts,
            created_at=row.created_at,
        )
        for row in connection.execute(query)
    ]


def _free(connection: Connection, which: sa.ColumnElement[bool], **changes: Any) -> int:
    values: dict[str, Any] = {
        "state": "pending",
        "owner": None,
        "lease_until": None,
        "attempts": jobs.c.attempts - 1,
    }
    statement = sa.update(jobs).where(which, LEASED).values({**values, **changes})
    return connection.execute(statement).rowcount


def _count_death(connection: Connection, job_id: int, deaths: int) -> None:
    values: dict[str, Any] = {"deaths": deaths}
    if deaths >= MAX_DEATHS:
        reason = (
            f"its worker died {deaths} times with this job alone; see the worker's "
            "log, then submit the sweep again with --retry-failed"
        )
        values |= {"state": "quarantined", "error": reason}
        values |= {"owner": None, "lease_until": None}
    connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
