"""The one clock that all hosts of a database share."""

import time
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def clock(connection: Connection) -> float:
    """Return the seconds since 1970 by the one clock that all workers share.

    It is the server's on PostgreSQL, and this machine's on SQLite.
    """
    if connection.dialect.name == "sqlite":
        return time.time()
    query = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
    return float(connection.execute(query).scalar_one())


def ago(connection: Connection, seconds: float = 0.0) -> str:
    """Return the time some seconds ago by `clock`, in the form of `utc_now`."""
    moment = datetime.fromtimestamp(clock(connection) - seconds, UTC)
    return moment.isoformat(timespec="microseconds")
