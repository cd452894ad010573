"""Leases in SQL: rows that a worker owns until a time, for jobs and for scores alike.

The table has the columns `state`, `owner`, `lease_until`, `attempts` and `deaths`; a
row is `leased` while a worker owns it, and `pending` before and after.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.clocks import clock

#: Deaths of workers that held only this row, after which it is given up.
MAX_DEATHS = 3


def lock(
    connection: Connection, table: sa.Table, which: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Lock rows until the transaction ends; return a condition that only they meet.

    All code locks the rows of a table in the order of their primary key: with different
    orders, two transactions would deadlock. SQLite has one writer at a time.
    """
    if connection.dialect.name == "sqlite":
        return which
    keys = list(table.primary_key)
    query = sa.select(*keys).where(which).order_by(*keys)
    # Rows that point here may still be added: that needs only the keys.
    found = connection.execute(query.with_for_update(key_share=True)).all()
    if len(keys) == 1:
        return keys[0].in_([row[0] for row in found])
    return sa.tuple_(*keys).in_([tuple(row) for row in found])


def is_leased(table: sa.Table) -> sa.TextClause:
    """Return the condition of the table's partial index of leased rows."""
    return sa.text(f"{table.name}.state = 'leased'")


def is_expired(connection: Connection, table: sa.Table) -> sa.ColumnElement[bool]:
    """Return the condition of leased rows whose lease is over."""
    # With the column of the index: SQLite would look at all rows to find these.
    return sa.and_(table.c.owner > "", table.c.lease_until < clock(connection))


def choose_fresh(found: Sequence[Any]) -> Sequence[Any]:
    """Choose of rows to claim those before the first that was claimed before.

    A row that was claimed and not finished is claimed alone: if the worker dies, it is
    known to be the cause.
    """
    alone = next((i for i, row in enumerate(found) if row.attempts), None)
    return found if alone is None else found[: max(alone, 1)]


def lease(
    connection: Connection,
    table: sa.Table,
    which: sa.ColumnElement[bool],
    *,
    owner: str,
    lease_s: float,
) -> None:
    """Give locked rows to an owner; it counts as an attempt."""
    values = {
        "state": "leased",
        "owner": owner,
        "lease_until": clock(connection) + lease_s,
        "attempts": table.c.attempts + 1,
    }
    connection.execute(sa.update(table).where(which).values(values))


def renew(
    connection: Connection,
    table: sa.Table,
    which: sa.ColumnElement[bool],
    *,
    owner: str,
    lease_s: float,
) -> sa.ColumnElement[bool]:
    """Renew the leases of rows that `owner` still holds; return their condition."""
    mine = sa.and_(which, table.c.owner == owner, is_leased(table))
    held = lock(connection, table, mine)
    until = clock(connection) + lease_s
    connection.execute(sa.update(table).where(held).values(lease_until=until))
    return held


def free(
    connection: Connection,
    table: sa.Table,
    which: sa.ColumnElement[bool],
    **changes: Any,
) -> int:
    """Make leased rows pending again; return how many. No attempt is counted.

    Args:
        connection: A transaction that writes.
        table: Of the rows.
        which: The rows, among those that are leased.
        changes: Further values, or others than these.
    """
    values: dict[str, Any] = {
        "state": "pending",
        "owner": None,
        "lease_until": None,
        "attempts": table.c.attempts - 1,
    }
    held = lock(connection, table, sa.and_(which, is_leased(table)))
    statement = sa.update(table).where(held).values({**values, **changes})
    return connection.execute(statement).rowcount


def free_the_killed(
    connection: Connection,
    table: sa.Table,
    which: sa.ColumnElement[bool],
    *,
    given_up: str,
    error: str,
    **changes: Any,
) -> int:
    """Free the rows of a worker that died with them; return how many it held.

    The attempt counts, so that they are claimed one by one. A row that was held alone
    in `MAX_DEATHS` such deaths is given up.

    Args:
        connection: A transaction that writes.
        table: Of the rows.
        which: The worker's rows.
        given_up: State of a row that is given up.
        error: Its reason; `{deaths}` stands for how many there were.
        changes: Further values of rows that are freed.
    """
    locked = lock(connection, table, sa.and_(which, is_leased(table)))
    query = sa.select(table.c.deaths).where(locked)
    held = connection.execute(query).scalars().all()
    if len(held) == 1:
        values: dict[str, Any] = {"deaths": held[0] + 1}
        if held[0] + 1 >= MAX_DEATHS:
            values |= {"state": given_up, "error": error.format(deaths=held[0] + 1)}
            values |= {"owner": None, "lease_until": None}
        connection.execute(sa.update(table).where(locked).values(values))
    free(connection, table, which, attempts=table.c.attempts, **changes)
    return len(held)


def leased_owners(connection: Connection, table: sa.Table) -> set[str]:
    """Return the name of every worker that owns a row now.

    The index of leased rows is sorted by owner: one look for each owner, however many
    rows each has.
    """
    first = sa.select(sa.func.min(table.c.owner)).where(is_leased(table))
    owners = first.cte("owners", recursive=True)
    (last,) = owners.c
    following = first.where(table.c.owner > last).correlate(owners).scalar_subquery()
    owners = owners.union_all(sa.select(following).where(last.is_not(None)))
    found = connection.execute(sa.select(owners)).scalars()
    return {owner for owner in found if owner is not None}
