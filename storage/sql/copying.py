"""A whole database copied into another one, from SQLite to PostgreSQL or back."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.sql.database import Database
from storage.sql.faults import shown
from storage.sql.schema import about, metadata, owners, sweeps

#: A new database has one row in each of these: its id, and the owner of no name.
_BORN = (about, owners)
#: Rows that are read and written at a time.
BATCH_ROWS = 5000


def copy_store(source: Database, target: Database) -> Mapping[str, int]:
    """Copy all rows of a database into an empty one of the same schema.

    It is one transaction: interrupted, it leaves the target empty. The copy keeps the
    id of the database, so its image folders are those of the source.

    Args:
        source: Where the rows are; nobody should change it meanwhile.
        target: Where they go.

    Returns:
        How many rows each table has, by its name.

    Raises:
        UsageError: The target has rows, or the source changed meanwhile.
        DatabaseError: One of the two cannot be reached.
    """
    with source.read() as reading, target.write() as writing:
        _lock_tables(writing)
        _refuse_filled(target, writing)
        for table in _BORN:
            writing.execute(sa.delete(table))
        counts = {
            table.name: _copy_rows(reading, writing, table)
            for table in metadata.sorted_tables
        }
        _set_sequences(writing)
        _compare(source, writing, counts)
    return counts


def _lock_tables(connection: Connection) -> None:
    """Keep others from writing to the target; on SQLite nobody can anyway."""
    if connection.dialect.name != "sqlite":
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")


def _refuse_filled(target: Database, connection: Connection) -> None:
    for table in metadata.sorted_tables:
        if _count(connection, table) > (table in _BORN):
            msg = (
                f"A store must be copied to an empty database, but {table.name} of "
                f"{shown(target.engine)} has rows; name another database, or empty "
                "this one."
            )
            raise UsageError(msg)


def _copy_rows(reading: Connection, writing: Connection, table: sa.Table) -> int:
    streamed = reading.execution_options(yield_per=BATCH_ROWS)
    count = 0
    for rows in streamed.execute(_in_order(table)).mappings().partitions():
        values: list[dict[str, Any]] = [dict(row) for row in rows]
        writing.execute(sa.insert(table).inline(), values)
        count += len(values)
    return count


def _in_order(table: sa.Table) -> sa.Select[Any]:
    """Return the query of all rows, in an order in which each may be inserted."""
    first = []
    if table is sweeps:
        # A sweep comes before the one that holds its references.
        first = [sweeps.c.reference_of.is_not(None)]
    return sa.select(table).order_by(*first, *table.primary_key)


def _set_sequences(connection: Connection) -> None:
    """Have new rows begin after the copied ones; SQLite does so by itself."""
    if connection.dialect.name == "sqlite":
        return
    for table in metadata.sorted_tables:
        if table.autoincrement_column is None:
            continue
        column = table.autoincrement_column
        name = sa.func.pg_get_serial_sequence(table.name, column.name)
        last = connection.execute(sa.select(sa.func.max(column))).scalar()
        if last:
            connection.execute(sa.select(sa.func.setval(name, last)))


def _compare(source: Database, writing: Connection, copied: Mapping[str, int]) -> None:
    """Compare what was copied with what both databases have now."""
    with source.read() as reading:
        for table in metadata.sorted_tables:
            now, there = _count(reading, table), _count(writing, table)
            if not now == there == copied[table.name]:
                msg = (
                    "Nobody must change a store while it is copied, but "
                    f"{table.name} had {copied[table.name]:,} rows and has {now:,} "
                    f"now, and {there:,} arrived; nothing was copied: stop what uses "
                    f"{shown(source.engine)} and give the command again."
                )
                raise UsageError(msg)


def _count(connection: Connection, table: sa.Table) -> int:
    count = sa.select(sa.func.count()).select_from(table)
    return int(connection.execute(count).scalar_one())
