"""What the images of owners took: the sums of a few rows for each owner.

Each image adds to a row that stays locked until its transaction is on the disk. With
one row for each owner, hundreds of workers would wait for each other; so each worker
adds to one of `SLOTS`, by its name.
"""

from typing import Any
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.database import insert_into
from storage.sql.schema import owner_uses, owners

#: Rows of an owner at most.
SLOTS = 16
_SUMMED = (owner_uses.c.used_s, owner_uses.c.made)


def select_owners() -> sa.Select[Any]:
    """Return a query of owners, with `used_s` and `made` as further columns."""
    sums = (sum_of(each).label(each.name) for each in _SUMMED)
    return sa.select(owners, *sums)


def sum_of(
    column: sa.ColumnElement[Any], owner: sa.FromClause = owners
) -> sa.ColumnElement[Any]:
    """Return the sum of a column of `owner_uses` for an owner of the query around."""
    # PostgreSQL's sum of integers is a decimal number.
    total = sa.cast(sa.func.coalesce(sa.func.sum(column), 0), column.type)
    query = sa.select(total)
    query = query.where(owner_uses.c.owner_id == owner.c.id)
    return query.correlate(owner).scalar_subquery()


def add_use(
    connection: Connection, owner_id: int, *, used_s: float, made: int, worker: str
) -> None:
    """Add to what the images of an owner took, in the slot of a worker."""
    new = insert_into(connection, owner_uses).values(
        owner_id=owner_id,
        slot=slot_of(worker),
        used_s=used_s,
        made=made,
    )
    more = {each.name: each + new.excluded[each.name] for each in _SUMMED}
    keys = ["owner_id", "slot"]
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=more))


def slot_of(worker: str) -> int:
    """Return the slot that a worker adds to."""
    return crc32(worker.encode()) % SLOTS
