"""The database, as pages read it: opened when it is first asked for, and kept open."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import DatabaseError, UsageError, WrongDatabaseError
from storage.settings import Settings
from storage.sql.database import Database, open_for_reading


class Reader:
    """The only way of the pages to the database; threads share it.

    Connections are kept, and statements that were compiled once. A file that was
    replaced is opened anew.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is opened yet."""
        self._url = settings.database_url
        self._path = settings.database_path
        self._lock = threading.Lock()
        self._kept: tuple[Database, object] | None = None

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Lend the database to read from it.

        Raises:
            UsageError: There is no database yet.
            DatabaseError: It cannot be reached.
        """
        try:
            yield self._open()
        except (DatabaseError, WrongDatabaseError):
            self.close()
            raise

    def exists(self) -> bool:
        """Return whether there is a database; a server's may be empty."""
        return self._path is None or self._path.exists()

    def close(self) -> None:
        """Close what is kept; it is opened again when it is next asked for."""
        with self._lock:
            if self._kept:
                self._kept[0].close()
            self._kept = None

    def _open(self) -> Database:
        with self._lock:
            now = _identity(self._path)
            if self._kept and self._kept[1] == now and now is not None:
                return self._kept[0]
            if self._kept:
                self._kept[0].close()
                self._kept = None
            database = open_for_reading(self._url)
            if database is None:
                msg = (
                    "There must be a sweep to look at, but none was submitted yet; "
                    "start with `nightsweep run SPEC`."
                )
                raise UsageError(msg)
            self._kept = (database, now)
            return database


def _identity(path: Path | None) -> object:
    """Return what tells one database file from another; None for no file."""
    if path is None:
        return "server"
    try:
        found = path.stat()
    except OSError:
        return None
    # SQLite is told that a file which may not be written does not change.
    change = () if os.access(path, os.W_OK) else (found.st_mtime_ns, found.st_size)
    return found.st_dev, found.st_ino, *change
