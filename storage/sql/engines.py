"""How a database is connected to: SQLite's files and PostgreSQL's servers."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from storage.errors import UsageError
from storage.settings import (
    refuse_network_filesystem,
    sqlite_path,
    without_password,
)
from storage.sql.faults import sqlite_code

#: How SQLite's files are opened: to write, to read while others write, or untouched.
Mode = Literal["writing", "reading", "closed"]

#: Seconds that a writer waits for another one on SQLite, and any client for a lock on
#: PostgreSQL, where the server, the role or the URL may set another limit.
BUSY_TIMEOUT_S = 30
#: Seconds for which SQLite polls for the lock, at growing pauses of at most 10 ms;
#: then polling starts over.
BUSY_POLL_S = 0.025
#: Limits after which a silent PostgreSQL server counts as lost, since its host or the
#: network is gone: seconds, a count, and milliseconds. A URL may set others.
LIVELINESS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: Executions after which psycopg has the server prepare a statement, in a URL; `none`
#: for poolers, which give one connection's statements to another.
PREPARE = "prepare_threshold"
#: The same limits for the server, in its words: seconds, but for the last, which is
#: milliseconds. A client that vanished in a transaction would else keep its locks for
#: two hours. The server, the role or the URL may set others.
SERVER_LIVELINESS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
SET_WHAT_NOBODY_SET = """
    SELECT set_config(name, wanted.value, false)
    FROM pg_settings
    JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name)
    WHERE source = 'default'
"""
#: Limits a connection's waits, in milliseconds, where nobody else has.
LIMIT_WAITS = """
    SELECT set_config('lock_timeout', %s, false)
    WHERE current_setting('lock_timeout') = '0'
"""


def make_engine(url: str, *, mode: Mode = "writing") -> Engine:
    """Make the engine of a database, without connecting to it.

    Raises:
        UsageError: The URL or its driver cannot be used.
    """
    path = sqlite_path(url)
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


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; on SQLite it takes the write lock at once."""
    with engine.connect() as connection:
        connection = connection.execution_options(nightsweep_write=True)
        with connection.begin():
            yield connection


def _make_server_engine(url: sa.URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        msg = f"it can be sqlite or postgresql, not {url.get_backend_name()}"
        raise sa.exc.ArgumentError(msg)
    # All other drivers have names of their own for these parameters.
    known = LIVELINESS if url.get_driver_name().startswith("psycopg") else {}
    asked: dict[str, Any] = {
        name: value for name, value in known.items() if name not in url.query
    }
    asked |= _read_threshold(url)
    url = url.difference_update_query([PREPARE])
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args=asked)
    _limit_waits(engine)
    return engine


def _read_threshold(url: sa.URL) -> dict[str, int | None]:
    """Return what a URL says of prepared statements, as psycopg takes it."""
    if PREPARE not in url.query:
        return {}
    text = str(url.query[PREPARE])
    if text != "none" and not text.isdecimal():
        msg = (
            f"{PREPARE} in NIGHTSWEEP_DATABASE_URL must be `none` or a number, got "
            f"{text}; end the URL with `?{PREPARE}=none` for a pooler."
        )
        raise UsageError(msg)
    return {PREPARE: None if text == "none" else int(text)}


def _limit_waits(engine: Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _limit(connection: Any, _record: object) -> None:
        # Not as a start parameter: connection poolers refuse unknown ones.
        cursor = connection.cursor()
        cursor.execute(LIMIT_WAITS, [f"{1000 * BUSY_TIMEOUT_S:.0f}"])
        names, values = zip(*SERVER_LIVELINESS.items(), strict=True)
        cursor.execute(SET_WHAT_NOBODY_SET, [list(names), list(values)])
        connection.commit()


def _prepare_sqlite(engine: Engine, mode: Mode) -> None:
    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, by hand
        if mode == "writing":
            _keep_a_wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
        else:
            connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        asked = connection.get_execution_options()
        if asked.get("nightsweep_write"):
            _take_write_lock(connection)
        elif not asked.get("nightsweep_no_transaction"):
            connection.exec_driver_sql("BEGIN")


def _keep_a_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log.

    When two processes do so to a new file at once, SQLite refuses one of them without
    waiting, whatever its timeout is.
    """
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if not _is_busy(exc) or time.monotonic() > give_up:
                raise
            time.sleep(BUSY_POLL_S)
        else:
            return


def _take_write_lock(connection: Connection) -> None:
    """Begin to write, soon after the lock is free.

    By itself, SQLite polls only every 0.1 s, and so misses for many seconds the gaps
    that a busy producer leaves.
    """
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    _set_timeout(connection, BUSY_POLL_S)
    try:
        while not _has_begun(connection, is_last=time.monotonic() > give_up):
            pass
    finally:
        _set_timeout(connection, BUSY_TIMEOUT_S)


def _has_begun(connection: Connection, *, is_last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as exc:
        if is_last or not _is_busy(exc.orig):
            raise
        return False
    return True


def _is_busy(exc: BaseException | None) -> bool:
    """Return whether another has the lock, if only to recover from a crash."""
    return sqlite_code(exc) == sqlite3.SQLITE_BUSY


def _set_timeout(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * seconds)}").close()


def _sqlite_url(path: Path, mode: Mode) -> sa.URL:
    if mode == "writing":
        return sa.URL.create("sqlite", database=str(path))
    query = {"mode": "rw", "uri": "true"}
    if mode == "closed":
        # A connection that may not write would leave -wal and -shm files behind.
        # Without a -wal file there is no writer, and the file is complete.
        is_idle = not path.with_name(path.name + "-wal").exists()
        query = {"mode": "ro", "uri": "true"} | ({"immutable": "1"} if is_idle else {})
    return sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
