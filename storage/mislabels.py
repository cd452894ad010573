"""Rows whose scheduler is called something that it is not.

Until names pinned their options, a name was stored as it was asked for: `dpmpp_2m` on a
model whose config has Karras sigmas painted with these. The class, the options and the
pictures of such rows are right; only the name is not. What was stored since has rows in
`scheduler_names`, and is not looked at. `storage.relabelling` mends what is found here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import hub
from storage.database import Database
from storage.errors import ModelError
from storage.fingerprint import Digests, verify
from storage.job import Model
from storage.models import BUILTIN_FOLDERS, is_hub_id, locate, read_json
from storage.scheduler_rows import row_of, store_names
from storage.schedulers import NAMES, is_called_right, names_of, short_name
from storage.schema import (
    jobs,
    models,
    scheduler_names,
    schedulers,
    speeds,
    sweep_jobs,
)
from storage.sweeps import Sweep
from storage.verification import Checked, Finding, Mislabelled

_CONFIG = "scheduler/scheduler_config.json"
_MODEL = [column.label(f"model_{column.name}") for column in models.c]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Called:
    """A scheduler on a model, as rows have it.

    Attributes:
        model_id: Row of the model.
        model: The same.
        class_name: Class in diffusers.
        options: JSON text.
        name: What it is called.
        jobs: How many jobs have it.
    """

    model_id: int
    model: Model
    class_name: str
    options: str
    name: str
    jobs: int


class NameCheck:
    """Holds the names of what was stored before against the models' own configs.

    Attributes:
        unknown: Models that are not there to be looked at, or have other files now.
    """

    def __init__(
        self, database: Database, *, digests: Digests, sweep: Sweep | None = None
    ) -> None:
        """Take where the rows are; `sweep` is for its jobs only."""
        self._database = database
        self._digests = digests
        self._sweep = sweep
        self._configs: dict[int, Mapping[str, Any] | None] = {}
        self._planned: dict[int, bool] = {}
        self._right: list[_Called] = []
        self.unknown: dict[str, None] = {}

    def look(self) -> Iterator[Checked]:
        """Find what is called wrongly; of the models' files only one is read.

        Where a name is wrong, the model's files are hashed too, unless that is
        remembered: a folder may hold another model by now.

        Raises:
            DatabaseError: SQL cannot be reached.
        """
        with self._database.read() as connection:
            called = [*_select_jobs(connection, self._sweep)]
            called += [] if self._sweep else _select_speeds(connection)
        findings = [each for one in called for each in self._find(one)]
        yield Checked(images=0, findings=findings)

    def complete(self) -> None:
        """Note the names of what is called rightly, so that it is found by each.

        Raises:
            DatabaseError: SQL cannot be reached.
        """
        for one in self._right:
            if one.jobs and self._is_as_planned(one):
                names = self._names(one, one.name)
                with self._database.write() as connection:
                    row = (one.class_name, one.options, one.name)
                    pair = (one.model_id, row_of(connection, row))
                    store_names(connection, {pair: names})

    def _find(self, one: _Called) -> Iterator[Finding]:
        config = self._config(one)
        options = json.loads(one.options)
        if config is None:
            self.unknown[one.model.name] = None
        elif is_called_right(one.name, one.class_name, options, config=config):
            self._right.append(one)
        elif not self._is_as_planned(one):
            self.unknown[one.model.name] = None
        else:
            # No class whose names pin options takes eta, so that extras do not matter.
            name = short_name(one.class_name, options, {}, config=config)
            yield _finding(one, name, names=self._names(one, name))

    def _names(self, one: _Called, name: str) -> tuple[str, ...]:
        """Return all names of what has this one."""
        if name not in NAMES:
            return (name,)
        of_job = (one.class_name, json.loads(one.options), NAMES[name].extras)
        return tuple(names_of(*of_job, config=self._config(one) or {}))

    def _config(self, one: _Called) -> Mapping[str, Any] | None:
        if one.model_id not in self._configs:
            self._configs[one.model_id] = _read_config(one.model)
        return self._configs[one.model_id]

    def _is_as_planned(self, one: _Called) -> bool:
        if one.model_id not in self._planned:
            self._planned[one.model_id] = _has_its_files(one.model, self._digests)
        return self._planned[one.model_id]


def _finding(one: _Called, name: str, *, names: tuple[str, ...]) -> Finding:
    count = f"{one.jobs:,} job{'s' if one.jobs > 1 else ''}"
    what = count if one.jobs else "measured speeds"
    return Finding(
        problem="mislabelled",
        path="",
        detail=f"{what} of {one.model.name} called {one.name}: it is {name}",
        mislabelled=Mislabelled(
            model_id=one.model_id,
            fingerprint=one.model.fingerprint,
            class_name=one.class_name,
            options=one.options,
            called=one.name,
            name=name,
            names=names,
        ),
    )


def _select_jobs(connection: Connection, sweep: Sweep | None) -> Iterator[_Called]:
    count = sa.func.count().label("jobs")
    pairs = sa.select(jobs.c.model_id, jobs.c.scheduler_id, count)
    if sweep:
        pairs = pairs.join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        pairs = pairs.where(sweep_jobs.c.sweep_id == sweep.id)
    found = pairs.group_by(jobs.c.model_id, jobs.c.scheduler_id).subquery()
    is_known = sa.exists().where(
        scheduler_names.c.model_id == found.c.model_id,
        scheduler_names.c.scheduler_id == found.c.scheduler_id,
    )
    query = (
        sa.select(
            *_MODEL,
            *(schedulers.c.class_name, schedulers.c.options, schedulers.c.name),
            found.c.jobs,
        )
        .join(found, found.c.model_id == models.c.id)
        .join(schedulers, schedulers.c.id == found.c.scheduler_id)
        .where(~is_known)
        .order_by(found.c.model_id, schedulers.c.name, found.c.scheduler_id)
    )
    for row in connection.execute(query):
        yield _Called(
            model_id=row.model_id,
            model=_model(row),
            class_name=row.class_name,
            options=row.options,
            name=row.name,
            jobs=row.jobs,
        )


def _select_speeds(connection: Connection) -> Iterator[_Called]:
    """Give what was measured of models that have jobs too, so that they are known."""
    kind = (speeds.c.scheduler_class, speeds.c.scheduler_options, speeds.c.scheduler)
    query = (
        sa.select(*_MODEL, *kind)
        .join(speeds, speeds.c.model_fingerprint == models.c.fingerprint)
        .distinct()
        .order_by(models.c.id, *kind)
    )
    for row in connection.execute(query):
        yield _Called(
            model_id=row.model_id,
            model=_model(row),
            class_name=row.scheduler_class,
            options=row.scheduler_options,
            name=row.scheduler,
            jobs=0,
        )


def _model(row: Any) -> Model:
    return Model(
        fingerprint=row.model_fingerprint,
        name=row.model_name,
        revision=row.model_revision,
        variant=row.model_variant,
        commit=row.model_commit_sha,
    )


def _read_config(model: Model) -> Mapping[str, Any] | None:
    """Read a model's scheduler config where it is; None where it is not to be had."""
    try:
        if is_hub_id(model.name):
            version = model.commit or model.revision
            return read_json(hub.fetch(model.name, _CONFIG, version, offline=True))
        folder = BUILTIN_FOLDERS.get(model.name, Path(model.name))
        return read_json(folder / _CONFIG)
    except ModelError:
        return None


def _has_its_files(model: Model, digests: Digests) -> bool:
    """Whether a model has the files that its jobs were planned with."""
    if is_hub_id(model.name):
        return model.commit is not None  # which stands for its files
    try:
        located = locate(model.name, variant=model.variant, download=False)
        verify(located, model.fingerprint, digests=digests)
    except ModelError:
        return False
    return True
