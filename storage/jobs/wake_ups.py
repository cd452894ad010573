"""Which jobs the messages name that wake workers.

A worker that comes to a group finds the rest of it in SQL, so a few of each will do.
None is left out: who cannot make the groups that are named would come to no other.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.claims import runnable_groups
from storage.sql.database import Database
from storage.sql.schema import RUNNABLE, jobs

#: Jobs that are named in all, or as many as there are groups, where these are more.
WAKE_UP = 512


def runnable_keys(database: Database) -> dict[str, list[str]]:
    """Return keys that a worker may claim, by batch group; some of every group.

    Groups share `WAKE_UP` evenly. They and their keys are in order of execution, the
    most urgent first. Two small queries for each group, however many jobs.
    """
    groups = runnable_groups(database)
    share = max(WAKE_UP // max(len(groups), 1), 1)
    with database.read() as connection:
        found = [_first(connection, group.key, share) for group in groups]
    # A group may have come to its end meanwhile.
    found = sorted(filter(None, found), key=lambda rows: rows[0][:2])
    return {rows[0].group_key: [row.key for row in rows] for rows in found}


def _first(connection: Connection, group: str, count: int) -> Sequence[Any]:
    """Return the first runnable jobs of a group: priority, position, group and key."""
    order = (jobs.c.priority, jobs.c.position)
    query = (
        sa.select(*order, jobs.c.group_key, jobs.c.key)
        .where(jobs.c.group_key == group, RUNNABLE)
        .order_by(*order)
        .limit(count)
    )
    return connection.execute(query).all()
