"""New databases for tests, of which SQLite's are copies of one.

To make the schema step by step takes a tenth of a second, and most tests want one.
"""

import secrets
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from storage.settings import sqlite_path
from storage.sql.database import Database, open_database


def open_new(url: str) -> Database:
    """Open a database; one of SQLite that is not there yet is made first."""
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
    """Read the file of a new database; nothing else of it is left beside the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        open_database(f"sqlite:///{path}").close()
        return path.read_bytes()
