"""The SQL database: connections, transactions, and the schema brought up to date."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)

from storage.errors import DatabaseError, UsageError
from storage.settings import refuse_network_filesystem, without_password

#: How SQLite's files are opened: to write, to read beside writers, or untouched.
Mode = Literal["writing", "reading", "closed"]

#: The newest migration; a test holds it to `storage/migrations/versions`.
HEAD = "0003"
#: Seconds that a writer waits for another one on SQLite, and anybody for a lock on
#: PostgreSQL; there the server, the role or the URL may say otherwise.
BUSY_TIMEOUT_S = 30
#: Seconds in which SQLite looks for the lock at ever longer pauses, 10 ms at most;
#: then it begins anew.
LOOK_S = 0.025
#: Seconds, and milliseconds, after which a PostgreSQL server is away that says nothing
#: at all: its host is gone, or the network is. A URL may say otherwise.
LIVELINESS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: Gives a connection a limit where nobody else did; milliseconds.
LIMIT_WAITS = """
    SELECT set_config('lock_timeout', %s, false)
    WHERE current_setting('lock_timeout') = '0'
"""
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
        alike = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reading = engine.execution_options(**alike)

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
    database = Database(_make_engine(url))
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
    path = _sqlite_path(url)
    if path is not None and not path.exists():
        return None
    is_closed = leave_no_trace or (path is not None and not os.access(path, os.W_OK))
    database = Database(_make_engine(url, mode="closed" if is_closed else "reading"))
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


def _make_engine(url: str, *, mode: Mode = "writing") -> Engine:
    path = _sqlite_path(url)
    try:
        if path is None:
            return _make_server_engine(sa.make_url(url))
        if mode == "writing":
            refuse_network_filesystem(path.parent)
        where = _sqlite_url(path, mode)
        engine = sa.create_engine(where, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (sa.exc.ArgumentError, ImportError) as exc:
        msg = (
            "NIGHTSWEEP_DATABASE_URL must be a SQLAlchemy URL whose driver is "
            f"installed, got {without_password(url)!r} ({exc}); for PostgreSQL use "
            "postgresql+psycopg://user:password@host/name and install "
            "nightsweep[postgres]."
        )
        raise UsageError(msg) from exc
    _prepare_sqlite(engine, mode)
    return engine


def _make_server_engine(url: sa.URL) -> Engine:
    # All drivers but these have words of their own for it.
    known = LIVELINESS if url.get_driver_name().startswith("psycopg") else {}
    asked = {name: value for name, value in known.items() if name not in url.query}
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args=asked)
    if engine.dialect.name == "postgresql":
        _limit_waits(engine)
    return engine


def _limit_waits(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _limit(connection: Any, _record: object) -> None:
        # Not as a start parameter: connection poolers refuse those they do not know.
        connection.cursor().execute(LIMIT_WAITS, [f"{1000 * BUSY_TIMEOUT_S:.0f}"])
        connection.commit()


def _prepare_sqlite(engine: Engine, mode: Mode) -> None:
    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, by hand
        if mode == "writing":
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        else:
            connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("nightsweep_write"):
            _take_write_lock(connection)
        else:
            connection.exec_driver_sql("BEGIN")


def _take_write_lock(connection: Connection) -> None:
    """Begin to write, soon after the lock is free.

    SQLite alone comes to look every 0.1 s only, and misses for many seconds the gaps
    that a busy producer leaves.
    """
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    _set_timeout(connection, LOOK_S)
    try:
        while not _has_begun(connection, is_last=time.monotonic() > give_up):
            pass
    finally:
        _set_timeout(connection, BUSY_TIMEOUT_S)


def _has_begun(connection: Connection, *, is_last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as exc:
        code = getattr(exc.orig, "sqlite_errorcode", None)
        if is_last or code != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _set_timeout(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * seconds)}").close()


def _sqlite_path(url: str) -> Path | None:
    # As it stands: a `%` or `?` in a folder's name is nothing but that.
    if not url.startswith("sqlite:"):
        return None
    path = url.removeprefix("sqlite:///")
    if path in (url, "", ":memory:"):
        msg = (
            "NIGHTSWEEP_DATABASE_URL must name a file that every command can open, "
            f"sqlite:////folder/file.db, got {url!r}."
        )
        raise UsageError(msg)
    return Path(path)


def _sqlite_url(path: Path, mode: Mode) -> sa.URL:
    if mode == "writing":
        return sa.URL.create("sqlite", database=str(path))
    query = {"mode": "rw", "uri": "true"}
    if mode == "closed":
        # A connection that may not write would leave -wal and -shm files behind;
        # with no -wal file there is no writer, and the file is complete.
        is_idle = not path.with_name(path.name + "-wal").exists()
        query = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if is_idle else {})
    return sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


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
