"""Gives rows the true name of their scheduler; keys, options and pictures stay."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import Database
from storage.scheduler_rows import rename, row_of, store_names
from storage.schema import jobs, schedulers, speeds, sweep_jobs, sweeps
from storage.verification import Finding, Mislabelled
from storage.wishes import lock_producers

#: Jobs that get another name in one transaction.
STEP = 1000


def relabel(database: Database, finding: Finding) -> Finding:
    """Give jobs and speeds the true name of their scheduler; keys and pictures stay.

    It may be broken off at any moment: what is left is found again.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    wrong = finding.mislabelled
    if wrong is None:
        return finding
    with database.write() as connection:
        _relabel_speeds(connection, wrong)
    while _relabel_some(database, wrong):
        pass
    said = f"called {wrong.name} now; image files keep what was written into them"
    return replace(finding, repair=said)


def _relabel_some(database: Database, wrong: Mislabelled) -> bool:
    """Relabel some jobs; tell whether there are more."""
    with database.write() as connection:
        lock_producers(connection)  # which change members too
        found = list(connection.execute(_select_ids(wrong)).scalars())
        ids, has_more = found[:STEP], len(found) > STEP
        if ids:
            row = (wrong.class_name, wrong.options, wrong.name)
            scheduler_id = row_of(connection, row)
            store_names(connection, {(wrong.model_id, scheduler_id): wrong.names})
            rename(connection, jobs.c.id.in_(ids), scheduler_id)
            _relabel_cells(connection, ids, wrong)
        if ids and not has_more:
            _relabel_axes(connection, wrong)
    return has_more


def _select_ids(wrong: Mislabelled) -> sa.Select[Any]:
    return (
        sa.select(jobs.c.id)
        .join(schedulers, schedulers.c.id == jobs.c.scheduler_id)
        .where(
            jobs.c.model_id == wrong.model_id,
            schedulers.c.class_name == wrong.class_name,
            schedulers.c.options == wrong.options,
            schedulers.c.name == wrong.called,
        )
        .order_by(jobs.c.id)
        .limit(STEP + 1)
    )


def _relabel_cells(
    connection: Connection, ids: Sequence[int], wrong: Mislabelled
) -> None:
    """Give cells of grids the true name, but where the sweep has a label of its own."""
    members = sa.and_(
        sweep_jobs.c.job_id.in_(ids), sweep_jobs.c.scheduler_label.is_(None)
    )
    for row in connection.execute(sa.select(sweep_jobs).where(members)).all():
        cell = json.loads(row.cell)
        if cell.get("scheduler") == wrong.called:
            cell["scheduler"] = wrong.name
            this = (
                sweep_jobs.c.sweep_id == row.sweep_id,
                sweep_jobs.c.job_id == row.job_id,
            )
            text = json.dumps(cell, ensure_ascii=False)
            connection.execute(sa.update(sweep_jobs).where(*this).values(cell=text))


def _relabel_axes(connection: Connection, wrong: Mislabelled) -> None:
    """Name the true name among the values of each sweep that has such a cell."""
    for row in connection.execute(sa.select(sweeps)).all():
        axes = json.loads(row.axes)
        labels = axes.get("scheduler", [])
        if wrong.called in labels and _has_cell(connection, row.id, wrong.name):
            is_left = _has_cell(connection, row.id, wrong.called)
            here = [wrong.called] if is_left else []
            here += [] if wrong.name in labels else [wrong.name]
            place = labels.index(wrong.called)
            axes["scheduler"] = [*labels[:place], *here, *labels[place + 1 :]]
            text = json.dumps(axes, ensure_ascii=False)
            this = sweeps.c.id == row.id
            connection.execute(sa.update(sweeps).where(this).values(axes=text))


def _has_cell(connection: Connection, sweep_id: int, name: str) -> bool:
    said = json.dumps({"scheduler": name}, ensure_ascii=False)[1:-1]
    query = sa.select(sweep_jobs.c.job_id).where(
        sweep_jobs.c.sweep_id == sweep_id,
        sweep_jobs.c.cell.contains(said, autoescape=True),
    )
    return connection.execute(query.limit(1)).first() is not None


def _relabel_speeds(connection: Connection, wrong: Mislabelled) -> None:
    """Give speeds the true name; where there are such already, these are newer."""
    same = [column for column in speeds.primary_key if column.name != "scheduler"]
    other = speeds.alias()
    is_there = sa.exists().where(
        other.c.scheduler == wrong.name,
        *(other.c[column.name] == column for column in same),
    )
    which = (
        speeds.c.model_fingerprint == wrong.fingerprint,
        speeds.c.scheduler == wrong.called,
        speeds.c.scheduler_class == wrong.class_name,
        speeds.c.scheduler_options == wrong.options,
    )
    connection.execute(sa.delete(speeds).where(*which, is_there))
    connection.execute(sa.update(speeds).where(*which).values(scheduler=wrong.name))
