"""How much of the image disk must stay free, as the sweeps of an image want it."""

import threading
import time

import sqlalchemy as sa

from storage.errors import DatabaseError
from storage.files.images import Room
from storage.sql.database import Database
from storage.sql.schema import jobs, sweep_jobs, sweeps

#: Seconds for which an answer of the database is used.
FRESH_S = 5.0


class WantedFreeSpace:
    """The space that active sweeps want to stay free; threads may share this object.

    The sweeps of an image are looked up only if any active sweep may forbid it.
    """

    def __init__(self, database: Database) -> None:
        """Take the database; it is queried only when needed."""
        self._database = database
        self._lock = threading.Lock()
        self._most = 0
        self._fresh_until = 0.0

    def __call__(self, key: str, left_bytes: int) -> Room | None:
        """Return the space that a sweep of this job wants free, if less is left.

        Args:
            key: The job's.
            left_bytes: What stays free once its image is written.

        Raises:
            DatabaseError: The database must be queried, and is unavailable.
        """
        if left_bytes >= self._most_wanted():
            return None
        wanted = wanted_for(self._database, key)
        return wanted if wanted and left_bytes < wanted.size_bytes else None

    def _most_wanted(self) -> int:
        """Return the most that any active sweep wants; the last answer in an outage."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._fresh_until = time.monotonic() + FRESH_S
                try:
                    self._most = most_wanted(self._database)
                except DatabaseError:
                    return self._most
            return self._most


def most_wanted(database: Database) -> int:
    """Return the most bytes that any active sweep wants free."""
    query = sa.select(sa.func.max(sweeps.c.min_free_bytes))
    with database.read() as connection:
        active = query.where(sweeps.c.state == "active")
        return int(connection.execute(active).scalar() or 0)


def wanted_for(database: Database, key: str) -> Room | None:
    """Return the most that an active sweep of a job wants; None if it has none."""
    query = (
        sa.select(sweeps.c.name, sweeps.c.min_free_bytes)
        .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(jobs.c.key == key, sweeps.c.state == "active")
        .order_by(sweeps.c.min_free_bytes.desc())
    )
    with database.read() as connection:
        row = connection.execute(query.limit(1)).first()
    return Room(sweep=row.name, size_bytes=row.min_free_bytes) if row else None
