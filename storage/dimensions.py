"""What many jobs share: their models, prompts and schedulers, one row for each."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import insert_into
from storage.job import PlannedJob
from storage.rows import model_row, prompt_row, scheduler_identity
from storage.schema import models, prompts, schedulers

Row = Mapping[str, Any]
Identity = tuple[str, ...]


class Dimensions:
    """The dimension rows of a batch of jobs: made first, stored afterwards."""

    def __init__(self, planned: Iterable[PlannedJob]) -> None:
        """Make each row once; needs no database."""
        self._models: dict[str, Row] = {}
        self._prompts: dict[tuple[str, str], Row] = {}
        self._schedulers: dict[Identity, Row] = {}
        self._used = {one.job.key: self._note(one) for one in planned}

    def store(
        self, connection: Connection, keys: Collection[str]
    ) -> dict[str, Mapping[str, int]]:
        """Store the rows that are missing for some jobs.

        Args:
            connection: In a transaction that writes.
            keys: Of the new jobs. The models of the others may have moved, so those
                are looked at for all.

        Returns:
            The ids of each of these jobs, by its key.
        """
        used = {key: self._used[key] for key in keys}
        kinds = set(used.values())
        model_ids = _store(connection, models, self._models.values())
        _follow_moves(connection, self._models)
        texts = {prompt for _, prompt, _ in kinds}
        prompt_ids = _store(connection, prompts, [self._prompts[t] for t in texts])
        names = {scheduler for _, _, scheduler in kinds}
        scheduler_ids = _store(
            connection, schedulers, [self._schedulers[name] for name in names]
        )
        ids = {
            (model, prompt, scheduler): {
                "model_id": model_ids[model,],
                "prompt_id": prompt_ids[self._prompts[prompt]["digest"],],
                "scheduler_id": scheduler_ids[scheduler],
            }
            for model, prompt, scheduler in kinds
        }
        return {key: ids[kind] for key, kind in used.items()}

    def _note(self, one: PlannedJob) -> tuple[str, tuple[str, str], Identity]:
        model = one.job.model.fingerprint
        prompt = (one.job.prompt, one.job.negative_prompt)
        scheduler = scheduler_identity(one)
        if model not in self._models:
            self._models[model] = model_row(one.job.model)
        if prompt not in self._prompts:
            self._prompts[prompt] = prompt_row(one)
        if scheduler not in self._schedulers:
            names = (column.name for column in _IDENTITY[schedulers])
            self._schedulers[scheduler] = dict(zip(names, scheduler, strict=True))
        return model, prompt, scheduler


#: The columns that tell the rows of each table apart.
_IDENTITY = {
    models: (models.c.fingerprint,),
    prompts: (prompts.c.digest,),
    schedulers: (schedulers.c.class_name, schedulers.c.options, schedulers.c.name),
}


def _store(
    connection: Connection, table: sa.Table, rows: Collection[Row]
) -> dict[Identity, int]:
    """Insert the rows that are not there; give the ids of all, by their identity."""
    known = _find(connection, table, rows)
    names = [column.name for column in _IDENTITY[table]]
    missing = {tuple(row[name] for name in names): row for row in rows}
    missing = {key: row for key, row in missing.items() if key not in known}
    if not missing:
        return known
    statement = insert_into(connection, table).on_conflict_do_nothing()
    connection.execute(statement, [missing[key] for key in sorted(missing)])
    return _find(connection, table, rows)


def _find(
    connection: Connection, table: sa.Table, rows: Collection[Row]
) -> dict[Identity, int]:
    first, *others = _IDENTITY[table]
    query = sa.select(first, *others, table.c.id)
    found = connection.execute(query.where(first.in_({r[first.name] for r in rows})))
    return {tuple(row[:-1]): row[-1] for row in found}


def _follow_moves(connection: Connection, rows: Mapping[str, Row]) -> None:
    """Note where models are that were found elsewhere before."""
    query = sa.select(models).where(models.c.fingerprint.in_(rows))
    for row in connection.execute(query).all():
        here = rows[row.fingerprint]
        is_other = any(getattr(row, name) != value for name, value in here.items())
        if is_other and _permanence(here["name"]) >= _permanence(row.name):
            where = sa.update(models).where(models.c.id == row.id)
            connection.execute(where.values(here))


def _permanence(name: str) -> int:
    # Workers look where a model was planned last, and had these very files; but no
    # scratch copy leads them away from the package or the Hub.
    if not Path(name).is_absolute():
        return 2
    return 1 if Path(name).exists() else 0
