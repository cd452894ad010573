"""Gives rows the true name of their scheduler; keys, options and pictures stay."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.files.verification import Finding, Mislabelled
from storage.jobs.membership import lock_producers
from storage.sql.database import Database
from storage.sql.scheduler_rows import (
    lock_sweeps,
    rename,
    rename_in_axes,
    row_of,
    store_names,
)
from storage.sql.schema import jobs, schedulers, speeds

#: Jobs that get another name in one transaction.
RELABEL_ROWS = 1000


def relabel(database: Database, finding: Finding) -> Finding:
    """Set the true scheduler names of jobs and speeds; keys and images stay.

    It may be interrupted at any moment: the next check finds what is left.

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
    """Relabel some jobs; return whether there are more."""
    with database.write() as connection:
        lock_producers(connection)  # they change members too
        lock_sweeps(connection)
        found = list(connection.execute(_select_ids(wrong)).scalars())
        ids, has_more = found[:RELABEL_ROWS], len(found) > RELABEL_ROWS
        if ids:
            row = (wrong.class_name, wrong.options, wrong.name)
            scheduler_id = row_of(connection, row)
            store_names(connection, {(wrong.model_id, scheduler_id): wrong.names})
            names = {"called": wrong.called, "name": wrong.name}
            rename(connection, jobs.c.id.in_(ids), scheduler_id, **names)
        if ids and not has_more:
            rename_in_axes(connection, wrong.called, wrong.name)
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
        .limit(RELABEL_ROWS + 1)
    )


def _relabel_speeds(connection: Connection, wrong: Mislabelled) -> None:
    """Give speeds the true name; any that have it already are newer, and stay."""
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
