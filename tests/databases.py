"""New databases for tests; those of SQLite are copies of one file.

Making the schema by migrations takes a tenth of a second, and most tests need one. All
of them share what SQLAlchemy compiles, which else it would do again for each engine.
"""

import secrets
import sqlite3
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util import LRUCache

from storage.settings import sqlite_path
from storage.sql.database import Database, open_database


class _Compiled(LRUCache[Any, Any]):
    """Compiled statements of all engines of a dialect, by its name."""

    def get(self, key: Any, default: Any = None) -> Any:
        dialect, *rest = key
        return super().get((dialect.name, *rest), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        dialect, *rest = key
        super().__setitem__((dialect.name, *rest), value)


_compiled = _Compiled(2000)


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_compiled(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_compiled)


@sa.event.listens_for(sa.Engine, "engine_connect")
def _skip_fsync(connection: sa.Connection) -> None:
    """Have SQLite commit without fsync: tests kill processes, never the kernel."""
    if connection.dialect.name == "sqlite":
        own: Any = connection.connection.dbapi_connection
        with suppress(sqlite3.DatabaseError):  # the file is not a database
            own.execute("PRAGMA synchronous = OFF")


def open_new(url: str) -> Database:
    """Open a database; create a SQLite file first if it is missing."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_read_new())
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            own_id = (secrets.token_hex(16),)
            connection.execute("UPDATE about SET database_id = ?", own_id)
    return open_database(url)


@cache
def _read_new() -> bytes:
    """Return the content of a new database's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        open_database(f"sqlite:///{path}").close()
        return path.read_bytes()
