"""Counts of jobs and sweeps, and what past images cost."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage.job import Job
from storage.jobs.sweeps import UNMADE, Sweep
from storage.sql.database import Database
from storage.sql.extras import value_of
from storage.sql.schema import (
    FAILED,
    HELD,
    LEASED,
    RUNNABLE,
    jobs,
    models,
    results,
    sweep_jobs,
)

#: Extras that make an evaluation of the model faster or slower.
PACES = ("quantize", "cache")
#: What decides the cost of an evaluation: fingerprint, dtype, width and height in
#: pixels, and the values of `PACES`.
Kind = tuple[str | int, ...]
#: Seconds over which the recent rate is counted.
RATE_WINDOW_S = 60.0
#: How many reasons for failures people are shown.
REASONS = 3
#: Images whose sizes are averaged.
SIZES = 200


def count_states(database: Database, sweep: Sweep) -> dict[str, int]:
    """Count a sweep's jobs by state; states without a job are left out."""
    query = (
        sa.select(jobs.c.state, sa.func.count())
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id)
        .group_by(jobs.c.state)
    )
    with database.read() as connection:
        return dict(connection.execute(query).all())


def count_models(database: Database, sweep: Sweep) -> int:
    """Count the models that a sweep's unmade jobs need."""
    query = (
        sa.select(sa.func.count(sa.distinct(jobs.c.model_id)))
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id, jobs.c.state.in_(UNMADE))
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def count_all_states(database: Database) -> dict[int, dict[str, int]]:
    """Count the jobs of every sweep by state, by the row of the sweep."""
    query = (
        sa.select(sweep_jobs.c.sweep_id, jobs.c.state, sa.func.count())
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .group_by(sweep_jobs.c.sweep_id, jobs.c.state)
    )
    counts: dict[int, dict[str, int]] = {}
    with database.read() as connection:
        for sweep_id, state, count in connection.execute(query):
            counts.setdefault(sweep_id, {})[state] = count
    return counts


def count_leased(database: Database) -> int:
    """Count the jobs of all sweeps that workers have in hand."""
    query = sa.select(sa.func.count()).where(HELD)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def unmade_backends(database: Database, sweep: Sweep) -> set[str]:
    """Return the back ends of a sweep's unmade jobs."""
    query = (
        sa.select(jobs.c.backend)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id, sa.or_(RUNNABLE, LEASED))
        .distinct()
    )
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def count_unmade(database: Database) -> int:
    """Count the jobs that wait for a worker or are held by one."""
    query = sa.select(sa.func.count()).where(sa.or_(RUNNABLE, LEASED))
    with database.read() as connection:
        return int(connection.execute(query.select_from(jobs)).scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What images of one kind cost so far, warm-ups left out.

    Attributes:
        evaluation_s: Seconds of a worker per evaluation of the model, all included.
        image_bytes: Size of a file.
    """

    evaluation_s: float
    image_bytes: float


def kind_of(job: Job, fingerprint: str) -> Kind:
    """Return what a job's cost depends on, with a fingerprint of its model."""
    paces = (str(job.parameter(name)) for name in PACES)
    return (fingerprint, job.dtype, job.width, job.height, *paces)


def measured_costs(database: Database) -> dict[Kind, Cost]:
    """Return what past images cost, by their kind."""
    seconds = sa.func.sum(jobs.c.total_s) / sa.func.sum(jobs.c.evaluations)
    with database.read() as connection:
        # Most jobs have no extras, and text is compared faster than JSON is read.
        paces = [
            sa.case((jobs.c.extras == "{}", ""), else_=value_of(connection, name))
            for name in PACES
        ]
        columns = (models.c.fingerprint, jobs.c.dtype, jobs.c.width, jobs.c.height)
        kind = [
            each.label(f"kind_{number}")
            for number, each in enumerate((*columns, *paces))
        ]
        query = (
            sa.select(*kind, seconds, sa.func.avg(results.c.size_bytes))
            .join(jobs, jobs.c.model_id == models.c.id)
            .join(results, results.c.job_id == jobs.c.id)
            .where(~results.c.warm_up)
            .group_by(*(each.name for each in kind))
        )
        return {
            tuple(row[:-2]): Cost(evaluation_s=row[-2], image_bytes=float(row[-1]))
            for row in connection.execute(query)
        }


def mean_image_bytes(database: Database, sweep: Sweep) -> float:
    """Return the mean size of a sweep's images, by a few of them; 0 without any."""
    some = (
        sa.select(results.c.size_bytes)
        .join(sweep_jobs, sweep_jobs.c.job_id == results.c.job_id)
        .where(sweep_jobs.c.sweep_id == sweep.id)
        .limit(SIZES)
        .subquery()
    )
    with database.read() as connection:
        mean = connection.execute(sa.select(sa.func.avg(some.c.size_bytes)))
        return float(mean.scalar_one() or 0)


def recent_rate(database: Database, sweep: Sweep) -> float:
    """Return the images per second that were recently finished for a sweep."""
    since = datetime.now(UTC) - timedelta(seconds=RATE_WINDOW_S)
    query = (
        sa.select(sa.func.count())
        .select_from(results)
        .where(
            results.c.finished_at >= since.isoformat(timespec="microseconds"),
            _is_member(sweep, results.c.job_id),
        )
    )
    with database.read() as connection:
        return float(connection.execute(query).scalar_one()) / RATE_WINDOW_S


def failures(database: Database, sweep: Sweep) -> list[tuple[str, int]]:
    """Return the most frequent reasons for which a sweep's jobs failed, with counts."""
    found = failure_examples(database, sweep)
    return [(reason, count) for reason, count, _ in found]


def failure_examples(database: Database, sweep: Sweep) -> list[tuple[str, int, str]]:
    """Return the same with the key of one job of each reason."""
    count = sa.func.count()
    query = (
        sa.select(jobs.c.error, count, sa.func.min(jobs.c.key))
        .where(FAILED, _is_member(sweep, jobs.c.id))
        .group_by(jobs.c.error)
        .order_by(count.desc())
        .limit(REASONS)
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _is_member(sweep: Sweep, job_id: sa.Column[int]) -> sa.ColumnElement[bool]:
    """Return the condition that a sweep wants a job.

    No join: SQLite would begin with all jobs of the sweep, rather than with those few
    that an index finds.
    """
    mine = (sweep_jobs.c.sweep_id == sweep.id, sweep_jobs.c.job_id == job_id)
    return sa.exists().where(*mine)
