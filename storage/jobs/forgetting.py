"""Rows of jobs that were never made and are wanted no more: these are deleted.

A row stays if anybody rated its image or has a score compared with it. The newest row
of all stays, too: SQLite gives the id of a deleted newest row to the next job, and a
worker that lost its lease may still report the old one as done.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.membership import lock_producers
from storage.sql.database import Database
from storage.sql.rows import lock_jobs
from storage.sql.schema import (
    FAILED_STATES,
    jobs,
    ratings,
    scores,
    sweep_jobs,
    votes,
)

#: Jobs that are deleted in one transaction.
FORGOTTEN_ROWS = 250

_NEWEST = sa.select(sa.func.max(jobs.alias().c.id)).scalar_subquery()
_IS_IDLE = sa.or_(
    jobs.c.state.in_(FAILED_STATES),
    sa.and_(jobs.c.state == "pending", jobs.c.priority.is_(None)),
)
#: Which rows may be deleted, besides being wanted no more.
FORGETTABLE = sa.and_(
    _IS_IDLE,
    jobs.c.id < _NEWEST,
    *(
        ~sa.exists().where(column == jobs.c.id).correlate(jobs)
        for column in (
            ratings.c.job_id,
            votes.c.job_a,
            votes.c.job_b,
            scores.c.reference_id,
        )
    ),
)


def forget(
    database: Database, ids: Sequence[int], *, still: sa.ColumnElement[bool]
) -> Iterator[int]:
    """Delete rows of jobs; yield how many, a page at a time.

    Args:
        database: Where the jobs are.
        ids: Their rows; those that are not `FORGETTABLE` any more stay.
        still: What they must still meet under their locks, a condition on `jobs`.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    for start in range(0, len(ids), FORGOTTEN_ROWS):
        page = jobs.c.id.in_(ids[start : start + FORGOTTEN_ROWS])
        with database.write() as connection:
            lock_producers(connection)
            yield _forget(connection, sa.and_(page, FORGETTABLE, still))


def _forget(connection: Connection, which: sa.ColumnElement[bool]) -> int:
    locked = lock_jobs(connection, which)
    ids = connection.execute(sa.select(jobs.c.id).where(locked)).scalars().all()
    for column in (scores.c.job_id, sweep_jobs.c.job_id, jobs.c.id):
        connection.execute(sa.delete(column.table).where(column.in_(ids)))
    return len(ids)
