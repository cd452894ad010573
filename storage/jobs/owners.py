"""Owners: whose sweeps they are, and what their images took.

A sweep belongs to the person who submitted it first. An image counts for one owner,
`jobs.payer_id`: the owner of the sweep that it counts for, as with budgets. That is
only what people say of themselves, and no authentication.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.fair_shares import lift
from storage.jobs.owner_uses import add_use
from storage.sql.database import insert_into
from storage.sql.schema import NOBODY, jobs, owners, sweeps

#: The name of a sweep's owner; NULL if it has none.
OWNER_NAME = (
    sa.select(owners.c.name)
    .where(owners.c.id == sweeps.c.owner_id)
    .correlate(sweeps)
    .scalar_subquery()
)


def keep_owner(connection: Connection, name: str | None) -> int:
    """Return the row of an owner; make it if it is new.

    Args:
        connection: A transaction that writes.
        name: Whose row; None or an empty name for nobody's.
    """
    if not name:
        return NOBODY
    query = sa.select(owners.c.id).where(owners.c.name == name)
    found = connection.execute(query).scalar()
    if found is None:
        new = insert_into(connection, owners).values(name=name)
        connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
        found = connection.execute(query).scalar_one()
    return int(found)


def read_name(connection: Connection, owner_id: int) -> str | None:
    """Return the name of an owner; None for nobody."""
    query = sa.select(owners.c.name).where(owners.c.id == owner_id)
    name: str | None = connection.execute(query).scalar()
    return name


def note_used(
    connection: Connection, seconds: Mapping[int, float], *, worker: str
) -> None:
    """Count images for their owners.

    Call it last in the transaction that marks them as done: each image counts once, and
    rows are locked for no longer than the commit takes.

    Args:
        connection: That transaction.
        seconds: What each image took of a GPU, by the id of its job.
        worker: Who made them.
    """
    used: dict[int, list[float]] = {}
    query = sa.select(jobs.c.id, jobs.c.payer_id).where(jobs.c.id.in_(seconds))
    for job_id, payer_id in connection.execute(query):
        used.setdefault(payer_id, []).append(seconds[job_id])
    # In the order of their ids, as all rows that are locked.
    for payer_id, each in sorted(used.items()):
        lift(connection, payer_id)
        add_use(connection, payer_id, used_s=sum(each), made=len(each), worker=worker)
