"""Jobs that have a result and become pending again, since their files are gone."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.membership import rank
from storage.jobs.sweeps import BEHIND
from storage.scores.image_changes import note_images_lost
from storage.sql.database import Database
from storage.sql.schema import jobs, removals, results


def unmake(connection: Connection, ids: Collection[int]) -> None:
    """Make jobs pending again, as if never started; their results go.

    Args:
        connection: A transaction that holds the locks of the jobs.
        ids: Rows of jobs that have a result.
    """
    which = jobs.c.id.in_(ids)
    connection.execute(sa.delete(results).where(results.c.job_id.in_(ids)))
    # Whoever removes files looks here under the lock: the next file stays.
    connection.execute(sa.delete(removals).where(removals.c.job_id.in_(ids)))
    fresh = {
        "state": "pending",
        "attempts": 0,
        "deaths": 0,
        "error": None,
        "total_s": None,
        "position": jobs.c.position % BEHIND,
    }
    connection.execute(sa.update(jobs).where(which).values(fresh))
    note_images_lost(connection, ids)
    rank(connection, which)


def rank_again(database: Database, ids: Collection[int]) -> set[int]:
    """Return the jobs among `ids` that an active sweep wants, once `unmake` committed.

    On PostgreSQL, a command that changed a sweep before the jobs were pending for all
    has skipped them as made.
    """
    which = jobs.c.id.in_(ids)
    with database.write() as connection:
        rank(connection, which)
        query = sa.select(jobs.c.id).where(which, jobs.c.priority.is_not(None))
        return set(connection.execute(query).scalars())
