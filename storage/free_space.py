"""How much of the image disk stays free, as the active sweeps want it."""

import threading
import time

import sqlalchemy as sa

from storage.database import Database
from storage.errors import DatabaseError
from storage.schema import sweeps

#: Seconds for which an answer of the database is used.
FRESH_S = 5.0


class WantedFreeSpace:
    """The most that any active sweep wants to stay free; threads may share it."""

    def __init__(self, database: Database) -> None:
        """Take the database; it is asked when the answer is wanted."""
        self._database = database
        self._lock = threading.Lock()
        self._wanted = 0
        self._fresh_until = 0.0

    def __call__(self) -> int:
        """Give it in bytes; the last answer while the database is away."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._fresh_until = time.monotonic() + FRESH_S
                try:
                    self._wanted = most_wanted(self._database)
                except DatabaseError:
                    return self._wanted
            return self._wanted


def most_wanted(database: Database) -> int:
    """Give the bytes that stay free for the active sweep that wants the most."""
    query = sa.select(sa.func.max(sweeps.c.min_free_bytes))
    with database.read() as connection:
        active = query.where(sweeps.c.state == "active")
        return int(connection.execute(active).scalar() or 0)
