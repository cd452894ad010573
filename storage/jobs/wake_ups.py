"""Which jobs to name in the messages that wake workers.

A worker that comes to a group finds the rest of it in SQL, so a few jobs of each group
will do. Every group is named: a worker that cannot make the named groups would never
come to another.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.runnable_groups import runnable_groups
from storage.sql.database import Database
from storage.sql.schema import RUNNABLE, jobs

#: Jobs that are named in total; if there are more groups than this, one per group.
WAKE_UP = 512


def runnable_keys(database: Database) -> dict[str, list[str]]:
    """Return keys that a worker may claim, by batch group; some of every group.

    Groups share `WAKE_UP` evenly. Groups and keys are in order of execution, the most
    urgent first. This takes two small queries for each group, however many jobs it has.
    """
    groups = runnable_groups(database)
    share = max(WAKE_UP // max(len(groups), 1), 1)
    with database.read() as connection:
        found = [_first(connection, group.key, share) for group in groups]
    # A group may have run out of jobs meanwhile.
    found = sorted(filter(None, found), key=lambda rows: rows[0][:2])
    return {rows[0].group_key: [row.key for row in rows] for rows in found}


def _first(connection: Connection, group: str, count: int) -> Sequence[Any]:
    """Return the first runnable jobs of a group: priority, position, group and key."""
    query = (
        sa.select(jobs.c.priority, jobs.c.position, jobs.c.group_key, jobs.c.key)
        .where(jobs.c.group_key == group, RUNNABLE)
        # As in the index: the order of owners does not matter here.
        .order_by(jobs.c.priority, jobs.c.payer_id, jobs.c.position)
        .limit(count)
    )
    return connection.execute(query).all()
