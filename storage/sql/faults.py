"""What an error of the database means: an outage, or what waiting cannot fix."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import unquote

from sqlalchemy.engine import Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from storage.errors import DatabaseError, WrongDatabaseError
from storage.settings import without_password

#: An `outage` ends while nightsweep waits. A `mistake` is a bug, or an old nightsweep
#: on a newer schema. `damage` and `rights` need a person.
Fault = Literal["outage", "mistake", "damage", "rights"]

#: The result codes of SQLite for no outage. SQLITE_ERROR is the code for a missing
#: table or column; the driver raises `OperationalError` for it, as for an outage.
_SQLITE: dict[int, Fault] = {
    sqlite3.SQLITE_ERROR: "mistake",
    sqlite3.SQLITE_TOOBIG: "mistake",
    sqlite3.SQLITE_CONSTRAINT: "mistake",
    sqlite3.SQLITE_MISMATCH: "mistake",
    sqlite3.SQLITE_MISUSE: "mistake",
    sqlite3.SQLITE_AUTH: "mistake",
    sqlite3.SQLITE_RANGE: "mistake",
    sqlite3.SQLITE_CORRUPT: "damage",
    sqlite3.SQLITE_NOTADB: "damage",
}
#: The lower byte of an extended result code is the result code.
_RESULT_CODE = 0xFF
#: The states of PostgreSQL, and the classes of states, that mean no mistake. A server
#: that is read-only (25006) is a standby, which may become the primary.
_POSTGRESQL: dict[str, Fault] = {
    **dict.fromkeys(("08", "25006", "40", "53", "55", "57", "58", "XX"), "outage"),
    **dict.fromkeys(("28", "42501"), "rights"),
    **dict.fromkeys(("XX001", "XX002"), "damage"),
}
#: What drivers raise for a mistake if they report no state.
_MISTAKES = (DataError, IntegrityError, NotSupportedError, ProgrammingError)

#: What a PostgreSQL server answers to a client that waited too long for a lock.
_LOCK_NOT_AVAILABLE = "55P03"


def sqlite_code(exc: BaseException | None) -> int | None:
    """Return SQLite's result code, not extended; None for another driver."""
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & _RESULT_CODE


def fault_of(exc: DBAPIError) -> Fault:
    """Return what an error of the driver means."""
    if exc.connection_invalidated:
        return "outage"
    code = sqlite_code(exc.orig)
    if code is not None:
        return _SQLITE.get(code, "outage")
    state = getattr(exc.orig, "sqlstate", None)
    if state:
        return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2], "mistake")
    return "mistake" if isinstance(exc, _MISTAKES) else "outage"


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn errors of the driver and its pool in this block into nightsweep's own.

    Raises:
        DatabaseError: The database is unavailable, or all connections are in use.
        WrongDatabaseError: It is damaged, or its user lacks rights to its tables.
        DBAPIError: Anything else, which is a mistake.
    """
    try:
        yield
    except DBAPIError as exc:
        fault = fault_of(exc)
        if fault == "mistake":
            raise
        raise _error(engine, exc, fault) from exc
    except PoolTimeoutError as exc:
        msg = (
            "A transaction must have a connection of its own, but this process has no "
            f"more to {shown(engine)} ({exc.args[0]}); wait until its other "
            "transactions end, and ask for less at once."
        )
        raise DatabaseError(msg) from exc


def shown(engine: Engine) -> str:
    """Return where a database is, for a message, without its password."""
    if engine.dialect.name == "sqlite":
        return unquote(str(engine.url.database).removeprefix("file:"))
    return without_password(engine.url.render_as_string(hide_password=True))


def first_line(exc: DBAPIError) -> str:
    """Return what the driver says, without the statement that some drivers add."""
    return str(exc.orig).partition("\n")[0]


def _error(engine: Engine, exc: DBAPIError, fault: Fault) -> Exception:
    said = f"{shown(engine)} says: {first_line(exc)}"
    if fault == "damage":
        msg = (
            f"The database must be whole, but {said}; restore a backup of it, or name "
            "another with NIGHTSWEEP_HOME or NIGHTSWEEP_DATABASE_URL."
        )
        return WrongDatabaseError(msg)
    if fault == "rights":
        msg = (
            f"The user of the database must have the rights to do this, but {said}; "
            "name a user who has them in NIGHTSWEEP_DATABASE_URL, or give them to this "
            "one (docs/security.md)."
        )
        return WrongDatabaseError(msg)
    way_out = "check NIGHTSWEEP_DATABASE_URL, the disk and the server"
    if getattr(exc.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
        way_out = "end the client that holds the lock, which pg_locks names"
    # The whole text: if a server is unavailable, each of its addresses has a line.
    said = f"{shown(engine)} says: {exc.orig}"
    msg = f"The database must be reachable and writable, but {said}; {way_out}."
    return DatabaseError(msg)
