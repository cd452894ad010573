"""What a PostgreSQL server did for a benchmark: CPU time, buffers, rows, bytes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import psycopg
import sqlalchemy as sa

sys.path.insert(1, str(Path(__file__).parents[1]))
from tests.postgresql import Server, find_programs

#: Whatever keeps data safe is at PostgreSQL's default, and so is autovacuum. The cache
#: is that of a small server.
OPTIONS = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "max_connections": "1200",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "off",
    "log_lock_waits": "on",
    "log_min_duration_statement": "5000",
}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Statements as the server counts them, since the last `reset`.
STATEMENTS = """
    SELECT coalesce(sum(calls), 0),
        coalesce(sum(shared_blks_hit + shared_blks_read), 0),
        coalesce(sum(wal_bytes), 0)
    FROM pg_stat_statements WHERE dbid =
        (SELECT oid FROM pg_database WHERE datname = current_database())
"""
BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SIZES = """
    SELECT relname, reltuples::bigint, pg_relation_size(oid), pg_indexes_size(oid)
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    AND pg_total_relation_size(oid) > 1048576 ORDER BY pg_total_relation_size(oid) DESC
"""
INDEXES = """
    SELECT indexrelname, pg_relation_size(indexrelid), idx_scan
    FROM pg_stat_user_indexes WHERE pg_relation_size(indexrelid) > 1048576
    ORDER BY 2 DESC
"""


@contextmanager
def started() -> Iterator[Server]:
    """Run a server within the block; it and its data are gone afterwards."""
    programs = find_programs()
    if programs is None:
        sys.exit("PostgreSQL is needed; install it, or the wheel of the tests.")
    words = [
        word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")
    ]
    server = Server(programs, options=words)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a server has done so far for one database.

    Attributes:
        cpu_s: Seconds of the processes that serve its connections.
        calls: Statements, without BEGIN and COMMIT.
        buffers: Pages of 8 kB that statements asked for, in memory or not.
        wal_bytes: Bytes of the log.
    """

    cpu_s: float = 0.0
    calls: float = 0.0
    buffers: float = 0.0
    wal_bytes: float = 0.0

    def __sub__(self, other: Self) -> "Work":
        """Return what was done since an earlier look."""
        values = {
            each.name: getattr(self, each.name) - getattr(other, each.name)
            for each in fields(self)
        }
        return Work(**values)


class Observer:
    """Reads what the server of a database did; has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Connect to the database at a URL of SQLAlchemy."""
        address = sa.make_url(url).set(drivername="postgresql")
        self._connection = psycopg.connect(
            address.render_as_string(hide_password=False), autocommit=True
        )
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._spent: dict[int, float] = {}

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        return self._connection.execute(query, values or None).fetchall()

    def look(self) -> Work:
        """Return what was done so far."""
        calls, buffers, wal_bytes = self.ask(STATEMENTS)[0]
        # A process that ended counts with what was seen of it last.
        self._spent |= {pid: _spent_s(pid) for (pid,) in self.ask(BACKENDS)}
        return Work(
            cpu_s=sum(self._spent.values()),
            calls=float(calls),
            buffers=float(buffers),
            wal_bytes=float(wal_bytes),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _spent_s(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, words[11:13])) / TICKS_PER_S
