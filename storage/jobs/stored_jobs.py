"""Stored jobs as they were planned, from which others can be derived."""

from collections.abc import Sequence

from storage.job import PlannedJob
from storage.jobs.sweeps import BEHIND
from storage.sql.database import Database
from storage.sql.rows import job_columns, job_from_row
from storage.sql.schema import jobs, schedulers


def read_planned(database: Database, keys: Sequence[str]) -> list[PlannedJob]:
    """Return the stored jobs of up to a thousand keys, in the order of submission.

    Nothing is said of any sweep: labels, cells and templates are left out.
    """
    query = job_columns().add_columns(schedulers.c.name.label("stored_name"))
    with database.read() as connection:
        rows = connection.execute(query.where(jobs.c.key.in_(keys)).order_by(jobs.c.id))
        return [
            PlannedJob(
                job=job_from_row(row),
                position=row.position % BEHIND,
                evaluations=row.evaluations,
                scheduler_name=row.stored_name,
            )
            for row in rows
        ]
