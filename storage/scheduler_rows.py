"""What the schedulers of stored jobs are called: a row for each, and all its names."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import insert_into
from storage.job import PlannedJob
from storage.rows import lock_jobs, scheduler_identity
from storage.schema import jobs, scheduler_names, schedulers

#: The ids of a model and of a scheduler.
Pair = tuple[int, int]


def keep_names(
    connection: Connection, stored: Iterable[tuple[PlannedJob, str, Pair]]
) -> None:
    """Note all names of stored jobs, and mend the one that a job has if it is wrong.

    Args:
        connection: In a transaction that writes.
        stored: Jobs that were planned just now, so that their names are those that the
            model's config gives; each with the key and the ids of its row.
    """
    alike: dict[tuple[Pair, str], tuple[PlannedJob, list[str]]] = {}
    for one, key, pair in stored:
        if one.scheduler_names:
            alike.setdefault((pair, one.scheduler_name), (one, []))[1].append(key)
    rows = _identities(connection, {pair[1] for pair, _ in alike})
    named: dict[Pair, tuple[str, ...]] = {}
    for ((model_id, scheduler_id), _), (one, keys) in alike.items():
        wanted, found = scheduler_identity(one), rows[scheduler_id]
        if wanted[:2] != found[:2]:
            continue  # the row of a former key, which says the same in another way
        there = scheduler_id
        if wanted != found:
            there = row_of(connection, wanted)
            rename(connection, jobs.c.key.in_(keys), there)
        named[model_id, there] = one.scheduler_names
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


def rename(
    connection: Connection, which: sa.ColumnElement[bool], scheduler_id: int
) -> None:
    """Give jobs another row of `schedulers`, of the same class and options."""
    locked = lock_jobs(connection, which)
    connection.execute(sa.update(jobs).where(locked).values(scheduler_id=scheduler_id))


def store_names(connection: Connection, names: Mapping[Pair, Iterable[str]]) -> None:
    """Note the names that mean a scheduler on a model; they only ever become more.

    Args:
        connection: In a transaction that writes.
        names: By the model and the scheduler.
    """
    columns = [column.name for column in scheduler_names.c]
    rows = sorted({(*ids, name) for ids, known in names.items() for name in known})
    if rows:
        statement = insert_into(connection, scheduler_names).on_conflict_do_nothing()
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        connection.execute(statement, values)


def _identities(
    connection: Connection, ids: Iterable[int]
) -> dict[int, tuple[str, str, str]]:
    columns = (schedulers.c.class_name, schedulers.c.options, schedulers.c.name)
    query = sa.select(schedulers.c.id, *columns).where(schedulers.c.id.in_(ids))
    return {row[0]: tuple(row[1:]) for row in connection.execute(query)}
