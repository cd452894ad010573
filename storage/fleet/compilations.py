"""Which groups run compiled networks: decided for all workers together.

A decision to compile holds for ever, and one against it until its sweep has changed, or
is made and another one comes. Otherwise a sweep would be compiled in part, with images
that differ in the last bits for no reason that anybody chose. But a few images to try a
model with do not decide for the million that follow.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.fleet.progress import list_workers
from storage.job import TORCH, Job
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import LEASED, RUNNABLE, compilations, jobs, sweep_jobs, sweeps

#: Most jobs that are looked at. So many are always worth it.
MOST_JOBS = 100_000


class DatabaseCompilations:
    """The decisions, and what compiling took, by batch group."""

    def __init__(self, database: Database) -> None:
        """Keep the decisions in `database`."""
        self._database = database

    def get(self, job: Job) -> bool | None:
        """Return whether the job's group runs compiled networks.

        Returns:
            None if that is not decided, or was decided against for another sweep, which
            has no unmade jobs left in the group, or for an earlier revision.

        Raises:
            DatabaseError: The database cannot be read.
        """
        decision = sa.select(compilations).where(_is_of(job))
        with self._database.read() as connection:
            held = connection.execute(decision).first()
            if held is None:
                return None
            if held.compiled:
                return True
            sweep_id, revision = _sweep_of(connection, job)
            if sweep_id == held.sweep_id:
                is_over = revision != held.revision
            else:
                is_over = not _has_unmade(connection, job.group, held.sweep_id)
        return None if is_over else False

    def work_left(self, job: Job) -> tuple[float, float]:
        """Return what is left to make in the job's group, for each worker with a GPU.

        A sweep that is still being submitted counts with all of its jobs, as far as
        those stored so far tell.

        Returns:
            Jobs, and all their calls of the network.

        Raises:
            DatabaseError: The database cannot be read.
        """
        some = (
            sa.select(jobs.c.evaluations)
            .where(jobs.c.group_key == job.group, RUNNABLE)
            .limit(MOST_JOBS)
            .subquery()
        )
        calls = sa.func.coalesce(sa.func.sum(some.c.evaluations), 0)
        query = sa.select(sa.func.count(), calls).select_from(some)
        with self._database.read() as connection:
            count, evaluations = connection.execute(query).one()
            growth = _growth(connection, job)
        share = growth / max(1, self._count_workers())
        return share * count, share * int(evaluations)

    def cost_s(self, job: Job, gpu: str) -> float | None:
        """Return the seconds that compiling the job's model last took on a GPU.

        Returns:
            The seconds; None if nobody has measured it.

        Raises:
            DatabaseError: The database cannot be read.
        """
        query = (
            sa.select(compilations.c.cost_s)
            .where(
                compilations.c.model_fingerprint == job.model.fingerprint,
                compilations.c.gpu == gpu,
                compilations.c.cost_s.is_not(None),
            )
            .order_by(compilations.c.decided_at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def settle(self, job: Job, gpu: str, *, compiled: bool, reason: str) -> bool:
        """Decide for the job's group, unless that is decided; return what holds.

        Args:
            job: Any of its jobs.
            gpu: Name of the GPU of the worker that decides.
            compiled: Whether to run compiled networks.
            reason: Why, for people.

        Raises:
            DatabaseError: The database cannot be written.
        """
        row: dict[str, Any] = {
            "group_key": job.group,
            "model_fingerprint": job.model.fingerprint,
            "gpu": gpu,
            "compiled": compiled,
            "reason": reason,
            "decided_at": utc_now(),
        }
        held = sa.select(compilations.c.compiled).where(_is_of(job))
        with self._database.write() as connection:
            sweep_id, revision = _sweep_of(connection, job)
            row |= {"sweep_id": sweep_id, "revision": revision}
            is_over = sa.or_(
                compilations.c.sweep_id != sweep_id, compilations.c.revision != revision
            )
            connection.execute(
                insert_into(connection, compilations)
                .values(**row)
                .on_conflict_do_update(
                    index_elements=["group_key"],
                    set_=row,
                    where=sa.and_(~compilations.c.compiled, is_over),
                )
            )
            return bool(connection.execute(held).scalar_one())

    def note_cost(self, job: Job, *, seconds: float) -> None:
        """Note the seconds that compiling for the job's group took.

        Raises:
            DatabaseError: The database cannot be written.
        """
        change = sa.update(compilations).where(_is_of(job)).values(cost_s=seconds)
        with self._database.write() as connection:
            connection.execute(change)

    def _count_workers(self) -> int:
        active = (each for each in list_workers(self._database) if not each.is_silent)
        return sum(
            each.backend == TORCH and not each.gpu.startswith("CPU") for each in active
        )


def _is_of(job: Job) -> sa.ColumnElement[bool]:
    return compilations.c.group_key == job.group


def _sweep_of(connection: Connection, job: Job) -> tuple[int, int]:
    """Return the sweep that wanted a job first, and its revision."""
    query = (
        sa.select(sweeps.c.id, sweeps.c.revision)
        .join(jobs, jobs.c.sweep_id == sweeps.c.id)
        .where(jobs.c.key == job.key)
    )
    row = connection.execute(query).one()
    return row.id, row.revision


def _has_unmade(connection: Connection, group: str, sweep_id: int) -> bool:
    """Return whether a sweep has jobs in a group that are runnable or in hand."""
    mine = (jobs.c.group_key == group, jobs.c.sweep_id == sweep_id)
    some = (sa.select(jobs.c.id).where(*mine, which) for which in (RUNNABLE, LEASED))
    found = (connection.execute(query.limit(1)).first() for query in some)
    return any(row is not None for row in found)


def _growth(connection: Connection, job: Job) -> float:
    """Return how many times as many jobs the sweeps of a job will have, 1 or more."""
    wanted = (
        sa.select(sweep_jobs.c.sweep_id)
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(jobs.c.key == job.key)
    )
    query: sa.Select[Any] = sa.select(sweeps.c.id, sweeps.c.submitting).where(
        sweeps.c.submitting.is_not(None), sweeps.c.id.in_(wanted)
    )
    growth = 1.0
    for row in connection.execute(query).all():
        stored = sa.select(sa.func.count()).where(sweep_jobs.c.sweep_id == row.id)
        count = connection.execute(stored).scalar_one()
        growth = max(growth, row.submitting / max(1, count))
    return growth
