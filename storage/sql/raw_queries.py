"""A query that a person wrote, run so that it can only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from storage.errors import UsageError
from storage.sql.database import Database
from storage.sql.faults import fault_of, sqlite_code

#: What a query may do on SQLite.
_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)

#: What PostgreSQL answers to a query that would write in a read-only transaction.
_READ_ONLY = "25006"


def ask(database: Database, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query.

    SQLite asks `_judge` about each action of the query. PostgreSQL runs it as the query
    of a cursor, which must be one SELECT, in a read-only transaction.

    Raises:
        UsageError: The query is not SQL, does more than read, or is more than one.
        DatabaseError: The database cannot be read.
    """
    with database.read() as connection, connection.begin():
        # Taken literally: neither `:name` nor `%` is a parameter here.
        plain = connection.execution_options(no_parameters=True, stream_results=True)
        try:
            with _guarded(connection, query):
                answer = plain.exec_driver_sql(query)
                return [dict(row) for row in answer.mappings()]
        except sa.exc.ResourceClosedError as exc:
            raise _refusal(query, "it returns no rows") from exc
        except DBAPIError as exc:
            if _blames_the_query(exc):
                raise _refusal(query, _reason(exc)) from exc
            raise


@contextmanager
def _guarded(connection: Connection, query: str) -> Iterator[None]:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.set_authorizer(_judge)
        try:
            yield
        finally:
            driver.set_authorizer(None)
        return
    # Only psycopg has the server refuse a second statement; other drivers may send it.
    if connection.dialect.driver != "psycopg" and ";" in query:
        raise _refusal(query, "it holds a semicolon")
    yield


def _judge(action: int, table: str | None, *_others: str | None) -> int:
    # SQLite reports the first use of `json_each` as this update, and itself refuses a
    # real one.
    is_unreal = action == sqlite3.SQLITE_UPDATE and table == "sqlite_master"
    return sqlite3.SQLITE_OK if action in _READING or is_unreal else sqlite3.SQLITE_DENY


def _blames_the_query(exc: DBAPIError) -> bool:
    """Return whether the query is at fault, and not the database."""
    would_write = getattr(exc.orig, "sqlstate", None) == _READ_ONLY
    return would_write or fault_of(exc) in ("mistake", "rights")


def _reason(exc: DBAPIError) -> str:
    if sqlite_code(exc.orig) == sqlite3.SQLITE_AUTH:
        return "it would do more than read"
    return str(exc.orig)


def _refusal(query: str, reason: str) -> UsageError:
    msg = (
        f"query must be one SQL statement that reads, got {query!r} ({reason}); query "
        "images, sweep_images, image_scores, image_ratings or speeds."
    )
    return UsageError(msg)
