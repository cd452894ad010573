"""What many jobs share: their models, prompts and schedulers, one row for each."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import Model, PlannedJob
from storage.sql.database import insert_into, utc_now
from storage.sql.model_places import places_by_id
from storage.sql.rows import (
    model_row,
    place_digest,
    place_row,
    prompt_row,
    scheduler_identity,
    template_row,
)
from storage.sql.schema import model_places, models, prompts, schedulers, templates

Row = Mapping[str, Any]
Identity = tuple[str, ...]


class Dimensions:
    """The dimension rows of a batch of jobs: made first, stored afterwards."""

    def __init__(self, planned: Iterable[PlannedJob]) -> None:
        """Make each row once; needs no database."""
        self._models: dict[str, Row] = {}
        self._places: dict[str, tuple[str, Row]] = {}
        self._former: dict[str, Model] = {}
        self._prompts: dict[tuple[str, str], Row] = {}
        self._schedulers: dict[Identity, Row] = {}
        self._used = {one.job.key: self._note(one) for one in planned}

    def store(
        self, connection: Connection, keys: Collection[str]
    ) -> dict[str, Mapping[str, int]]:
        """Store the rows that are missing for some jobs.

        Args:
            connection: In a transaction that writes.
            keys: Of the new jobs. The models of other jobs may be in a new place, so
                models and places are stored for all jobs.

        Returns:
            The row ids for each new job, by its key.
        """
        used = {key: self._used[key] for key in keys}
        kinds = set(used.values())
        model_ids = _store(connection, models, self._models.values())
        _renew(connection, self._models)
        place_ids = self._store_places(connection, model_ids)
        texts = {prompt for _, _, prompt, _ in kinds}
        prompt_ids = _store(connection, prompts, [self._prompts[t] for t in texts])
        names = {scheduler for _, _, _, scheduler in kinds}
        scheduler_ids = _store(
            connection, schedulers, [self._schedulers[name] for name in names]
        )
        ids = {
            (model, place, prompt, scheduler): {
                "model_id": model_ids[model,],
                "place_id": place_ids[place,],
                "prompt_id": prompt_ids[self._prompts[prompt]["digest"],],
                "scheduler_id": scheduler_ids[scheduler],
            }
            for model, place, prompt, scheduler in kinds
        }
        return {key: ids[kind] for key, kind in used.items()}

    def _store_places(
        self, connection: Connection, model_ids: Mapping[Identity, int]
    ) -> Mapping[Identity, int]:
        now = utc_now()
        places = {**self._places, **self._former_places(connection)}
        former = [{"fingerprint": model} for model, _ in places.values()]
        known = {**_find(connection, models, former), **model_ids}
        rows = [
            {**row, "model_id": known[model,], "first_at": now, "last_at": now}
            for model, row in places.values()
        ]
        ids = _store(connection, model_places, rows)
        used = model_places.c.id.in_(ids.values())
        connection.execute(sa.update(model_places).where(used).values(last_at=now))
        return ids

    def _former_places(self, connection: Connection) -> dict[str, tuple[str, Row]]:
        """Return places for jobs that were planned with a former fingerprint.

        They are also made from a model's present place, if it is their model there.
        """
        found: dict[str, tuple[str, Row]] = {}
        for model in self._former.values():
            known = set(places_by_id(connection, model).values())
            for former in known - {model.fingerprint}:
                row = place_row(replace(model, fingerprint=former))
                found[row["digest"]] = (former, row)
        return found

    def _note(self, one: PlannedJob) -> tuple[str, str, tuple[str, str], Identity]:
        model, place = self._note_weights(one.job.model)
        for part in one.job.parts:
            self._note_weights(part)
        prompt = (one.job.prompt, one.job.negative_prompt)
        scheduler = scheduler_identity(one)
        if prompt not in self._prompts:
            self._prompts[prompt] = prompt_row(one)
        if scheduler not in self._schedulers:
            names = (column.name for column in _IDENTITY[schedulers])
            self._schedulers[scheduler] = dict(zip(names, scheduler, strict=True))
        return model, place, prompt, scheduler

    def _note_weights(self, weights: Model) -> tuple[str, str]:
        """Make the rows of a model or part; return its fingerprint and place."""
        model, place = weights.fingerprint, place_digest(weights)
        if model not in self._models:
            self._models[model] = model_row(weights)
        if place not in self._places:
            self._places[place] = (model, place_row(weights))
            if weights.former_fingerprints:
                self._former[place] = weights
        return model, place


def store_templates(
    connection: Connection, planned: Iterable[PlannedJob]
) -> dict[str | None, int | None]:
    """Store the templates that are missing; return the ids of all, None for None."""
    rows = {text: template_row(text) for one in planned if (text := one.template)}
    ids = _store(connection, templates, rows.values()) if rows else {}
    return {None: None} | {text: ids[row["digest"],] for text, row in rows.items()}


#: The columns that identify the rows of each table.
_IDENTITY = {
    models: (models.c.fingerprint,),
    model_places: (model_places.c.digest,),
    prompts: (prompts.c.digest,),
    schedulers: (schedulers.c.class_name, schedulers.c.options, schedulers.c.name),
    templates: (templates.c.digest,),
}


def _store(
    connection: Connection, table: sa.Table, rows: Collection[Row]
) -> dict[Identity, int]:
    """Insert the rows that are missing; return the ids of all, by their identity."""
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


def _renew(connection: Connection, rows: Mapping[str, Row]) -> None:
    """Update what a newer nightsweep reads differently from the same files."""
    query = sa.select(models).where(models.c.fingerprint.in_(rows))
    for row in connection.execute(query).all():
        here = rows[row.fingerprint]
        if any(getattr(row, name) != value for name, value in here.items()):
            where = sa.update(models).where(models.c.id == row.id)
            connection.execute(where.values(here))
