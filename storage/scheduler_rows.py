"""What the schedulers of stored jobs are called: a row for each, and all its names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import insert_into
from storage.job import PlannedJob
from storage.rows import lock_jobs, scheduler_identity
from storage.schema import jobs, scheduler_names, schedulers

#: Keys that are looked up in one query.
STEP = 1000


def keep_names(connection: Connection, planned: Mapping[str, PlannedJob]) -> None:
    """Note all names of stored jobs, and mend the one that a job has if it is wrong.

    Args:
        connection: In a transaction that writes.
        planned: By the key of its row, each job that was planned just now, so that its
            names are those that the model's config gives.
    """
    named: dict[tuple[int, int], tuple[str, ...]] = {}
    misnamed: dict[tuple[str, str, str], list[Any]] = {}
    for row in _rows_of(connection, list(planned)):
        one = planned[row.key]
        wanted = scheduler_identity(one)
        if not one.scheduler_names or wanted[:2] != (row.class_name, row.options):
            continue
        if row.name == one.scheduler_name:
            named[row.model_id, row.scheduler_id] = one.scheduler_names
        else:
            misnamed.setdefault(wanted, []).append(row)
    for wanted, rows in misnamed.items():
        scheduler_id = row_of(connection, wanted)
        rename(connection, [row.id for row in rows], scheduler_id)
        for row in rows:
            named[row.model_id, scheduler_id] = planned[row.key].scheduler_names
    store_names(connection, named)


def row_of(connection: Connection, identity: tuple[str, str, str]) -> int:
    """Return the id of a row of `schedulers`, made where there is none.

    Args:
        connection: In a transaction that writes.
        identity: Class, options as JSON text, and name.
    """
    values = dict(zip(("class_name", "options", "name"), identity, strict=True))
    insert = insert_into(connection, schedulers).values(values)
    connection.execute(insert.on_conflict_do_nothing())
    same = (schedulers.c[column] == value for column, value in values.items())
    query = sa.select(schedulers.c.id).where(*same)
    return int(connection.execute(query).scalar_one())


def rename(connection: Connection, ids: Sequence[int], scheduler_id: int) -> None:
    """Give jobs another row of `schedulers`, of the same class and options."""
    which = lock_jobs(connection, jobs.c.id.in_(ids))
    connection.execute(sa.update(jobs).where(which).values(scheduler_id=scheduler_id))


def store_names(
    connection: Connection, names: Mapping[tuple[int, int], Iterable[str]]
) -> None:
    """Note the names that mean a scheduler on a model; they only ever become more.

    Args:
        connection: In a transaction that writes.
        names: By the ids of the model and of the scheduler.
    """
    columns = [column.name for column in scheduler_names.c]
    rows = sorted({(*ids, name) for ids, known in names.items() for name in known})
    if rows:
        statement = insert_into(connection, scheduler_names).on_conflict_do_nothing()
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        connection.execute(statement, values)


def _rows_of(connection: Connection, keys: Sequence[str]) -> Iterable[Any]:
    query = sa.select(
        *(jobs.c.id, jobs.c.key, jobs.c.model_id, jobs.c.scheduler_id),
        *(schedulers.c.class_name, schedulers.c.options, schedulers.c.name),
    ).join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
    for start in range(0, len(keys), STEP):
        some = jobs.c.key.in_(keys[start : start + STEP])
        yield from connection.execute(query.where(some)).all()
