"""The SQL database: connections, transactions, and the schema brought up to date."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
)

from storage.engines import make_engine, sqlite_path
from storage.errors import DatabaseError, UsageError
from storage.settings import without_password

#: The newest migration; a test holds it to `storage/migrations/versions`.
HEAD = "0004"
#: What a PostgreSQL server answers to who waited that long.
LOCK_NOT_AVAILABLE = "55P03"
#: Names the advisory lock under which one process migrates a PostgreSQL database.
MIGRATION_LOCK = 7_326_117


class Database:
    """One SQL database, and the only way to it.

    Threads may share it; a fork must open its own.
    """

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `open_database`."""
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # On SQLite, every transaction sees one state.
        server = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = engine.execution_options(**({} if self.is_sqlite else server))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and sees one state throughout.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with _translated(self.engine), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; it commits at the end of the block.

        On SQLite it takes the write lock at once, so that it cannot fail half way.

        Raises:
            DatabaseError: The database cannot be reached, or stayed locked.
        """
        with _translated(self.engine), self.engine.connect() as connection:
            connection = connection.execution_options(nightsweep_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at `url`, creating or upgrading its schema where needed.

    Raises:
        UsageError: The URL or its driver cannot be used, or the database was made
            by a newer nightsweep.
        DatabaseError: The server or file cannot be reached.
    """
    database = Database(make_engine(url))
    revision = current_revision(database)
    _refuse_newer(database, revision)
    if revision != HEAD:
        _migrate(database)
    return database


def open_for_reading(url: str, *, leave_no_trace: bool = False) -> Database | None:
    """Open an existing database without creating or changing anything in it.

    Returns None where there is no database yet.

    Args:
        url: Where it is.
        leave_no_trace: Not to touch SQLite's files at all, not even the two that a
            reader makes and removes. What others write meanwhile may go unseen, so
            it is for one short look.

    Raises:
        UsageError: The database was made by a newer nightsweep.
        DatabaseError: The database cannot be read, or its schema is an older one.
    """
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    is_closed = leave_no_trace or (path is not None and not os.access(path, os.W_OK))
    database = Database(make_engine(url, mode="closed" if is_closed else "reading"))
    revision = current_revision(database)
    if revision is None:
        database.close()
        return None
    _refuse_newer(database, revision)
    if revision != HEAD:
        msg = (
            f"The database must have schema {HEAD}, but has {revision}; run any "
            "command that writes, such as `nightsweep submit`, to upgrade it."
        )
        raise DatabaseError(msg)
    return database


def current_revision(database: Database) -> str | None:
    """Read the schema's revision; None for an empty database."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        return row.scalar()


def utc_now() -> str:
    """Give the time as the database holds it: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds_between(earlier: str, later: str) -> float:
    """Give the time between two moments as the database holds them."""
    elapsed = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    return elapsed.total_seconds()


def clock(connection: Connection) -> float:
    """Seconds since 1970 by the one clock that all workers share.

    That is the server's on PostgreSQL, and this machine's on SQLite.
    """
    if connection.dialect.name == "sqlite":
        return time.time()
    query = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
    return float(connection.execute(query).scalar_one())


def insert_into(connection: Connection, table: sa.Table) -> Any:
    """Give an INSERT that knows `on_conflict_do_nothing` and `..._do_update`."""
    # Imported here: each costs a few milliseconds, and one is never used.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _refuse_newer(database: Database, revision: str | None) -> None:
    if revision is not None and revision > HEAD:
        where = _shown(database.engine)
        msg = (
            f"The database must have a schema of up to {HEAD}, which this nightsweep "
            f"knows, but {where} has {revision}; install a newer nightsweep, or set "
            "NIGHTSWEEP_HOME or NIGHTSWEEP_DATABASE_URL to another place."
        )
        raise UsageError(msg)


def _migrate(database: Database) -> None:
    # Imported here: Alembic costs 0.3 s, and is needed only when behind.
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    with database.write() as connection:
        if not database.is_sqlite:
            _wait_to_migrate(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _wait_to_migrate(connection: Connection) -> None:
    # For as long as another's migration takes; then for tables no longer than ever.
    usual = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    connection.execute(sa.select(sa.func.set_config("lock_timeout", "0", True)))
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    connection.execute(sa.select(sa.func.set_config("lock_timeout", usual, True)))


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        ours = isinstance(exc, (DataError, IntegrityError, ProgrammingError))
        if ours and not exc.connection_invalidated:
            raise  # a mistake in nightsweep, and not the server's or the disk's
        raise _unreachable(engine, exc) from exc


def _unreachable(engine: Engine, exc: DBAPIError) -> DatabaseError:
    way_out = "check NIGHTSWEEP_DATABASE_URL, the disk and the server"
    if getattr(exc.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
        way_out = "end the client that holds the lock, which pg_locks names"
    msg = (
        "The database must be reachable and writable, but "
        f"{_shown(engine)} says: {exc.orig}; {way_out}."
    )
    return DatabaseError(msg)


def _shown(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return unquote(str(engine.url.database).removeprefix("file:"))
    return without_password(engine.url.render_as_string(hide_password=True))
