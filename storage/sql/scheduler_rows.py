"""The schedulers of stored jobs: a row for each, and all names that it has."""

import json
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import PlannedJob
from storage.sql.database import insert_into
from storage.sql.job_settings import note_settings
from storage.sql.rows import lock_jobs, scheduler_identity
from storage.sql.schema import jobs, scheduler_names, schedulers, sweep_jobs, sweeps

#: The ids of a model and of a scheduler.
Pair = tuple[int, int]


def keep_names(
    connection: Connection,
    stored: Sequence[tuple[PlannedJob, str, Pair]],
    *,
    sweep_id: int,
) -> None:
    """Note all scheduler names of stored jobs, and correct the stored one if wrong.

    Args:
        connection: In a transaction that writes, of the only producer.
        stored: Jobs that were planned just now, so that their names follow from the
            model's config; each with the key and the ids of its row.
        sweep_id: The sweep that they were planned for, whose axes are right.
    """
    alike: dict[tuple[Pair, str], tuple[PlannedJob, list[str]]] = {}
    for one, key, pair in stored:
        if one.scheduler_names:
            alike.setdefault((pair, one.scheduler_name), (one, []))[1].append(key)
    rows = _identities(connection, {pair[1] for pair, _ in alike})
    named: dict[Pair, tuple[str, ...]] = {}
    wrong: dict[tuple[int, str, str], list[str]] = {}
    for ((model_id, scheduler_id), _), (one, keys) in alike.items():
        wanted, found = scheduler_identity(one), rows[scheduler_id]
        if wanted[:2] != found[:2]:
            continue  # the row of a former key, which words the same differently
        there = scheduler_id
        if wanted != found:
            there = row_of(connection, wanted)
            wrong.setdefault((there, found[2], wanted[2]), []).extend(keys)
        named[model_id, there] = one.scheduler_names
    if wrong:
        lock_sweeps(connection)
        lock_jobs(connection, jobs.c.key.in_([key for _, key, _ in stored]))
    for (there, called, name), keys in wrong.items():
        rename(connection, jobs.c.key.in_(keys), there, called=called, name=name)
        rename_in_axes(connection, called, name, but=sweep_id)
    store_names(connection, named)


def row_of(connection: Connection, identity: tuple[str, str, str]) -> int:
    """Return the id of a row of `schedulers`; insert the row if it is missing.

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


def lock_sweeps(connection: Connection) -> None:
    """Lock all sweeps until the transaction ends, before the first job is locked.

    A client that pauses a sweep changes the sweep first and its jobs afterwards.
    """
    query = sa.select(sweeps.c.id).order_by(sweeps.c.id)
    connection.execute(query.with_for_update(key_share=True))


def rename(
    connection: Connection,
    which: sa.ColumnElement[bool],
    scheduler_id: int,
    *,
    called: str,
    name: str,
) -> None:
    """Give jobs another name for their scheduler, also in the cells of all sweeps.

    Args:
        connection: In a transaction that writes, of the only producer.
        which: The jobs.
        scheduler_id: The row of `schedulers` with that name, and with the class and
            options that the jobs have.
        called: The name that the jobs have so far.
        name: The name that they get.
    """
    ids = sa.select(jobs.c.id).where(lock_jobs(connection, which))
    # A sweep's own label of the scheduler stays.
    members = sweep_jobs.c.job_id.in_(ids) & sweep_jobs.c.scheduler_label.is_(None)
    for row in connection.execute(sa.select(sweep_jobs).where(members)).all():
        cell = json.loads(row.cell)
        if cell.get("scheduler") == called:
            cell["scheduler"] = name
            this = (
                sweep_jobs.c.sweep_id == row.sweep_id,
                sweep_jobs.c.job_id == row.job_id,
            )
            text = json.dumps(cell, ensure_ascii=False)
            connection.execute(sa.update(sweep_jobs).where(*this).values(cell=text))
    found = connection.execute(ids).scalars().all()
    changed = sa.update(jobs).where(jobs.c.id.in_(found))
    connection.execute(changed.values(scheduler_id=scheduler_id))
    note_settings(connection, jobs.c.id.in_(found))


def rename_in_axes(
    connection: Connection, called: str, name: str, *, but: int | None = None
) -> None:
    """List a new name among the values of each sweep that has a cell with it.

    Args:
        connection: In a transaction that writes, of the only producer, after
            `lock_sweeps`.
        called: The old name, which goes where no cell has it any more.
        name: The new name.
        but: A sweep to leave as it is.
    """
    for row in connection.execute(sa.select(sweeps)).all():
        axes = json.loads(row.axes)
        labels = axes.get("scheduler", [])
        if row.id == but or called not in labels:
            continue
        if _has_cell(connection, row.id, name):
            here = [called] if _has_cell(connection, row.id, called) else []
            here += [] if name in labels else [name]
            place = labels.index(called)
            axes["scheduler"] = [*labels[:place], *here, *labels[place + 1 :]]
            text = json.dumps(axes, ensure_ascii=False)
            this = sweeps.c.id == row.id
            connection.execute(sa.update(sweeps).where(this).values(axes=text))


def store_names(connection: Connection, names: Mapping[Pair, Iterable[str]]) -> None:
    """Note the names that mean a scheduler on a model; none is ever removed.

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


def _has_cell(connection: Connection, sweep_id: int, name: str) -> bool:
    said = json.dumps({"scheduler": name}, ensure_ascii=False)[1:-1]
    query = sa.select(sweep_jobs.c.job_id).where(
        sweep_jobs.c.sweep_id == sweep_id,
        sweep_jobs.c.cell.contains(said, autoescape=True),
    )
    return connection.execute(query.limit(1)).first() is not None
