"""Rows that have a wrong name for their scheduler.

Until names pinned their options, a name was stored as it was asked for: `dpmpp_2m`, on
a model whose config has Karras sigmas, painted with them. The class, the options and
the pictures of such rows are right; only the name is wrong. Jobs stored since then have
rows in `scheduler_names`, and are not looked at. `storage.files.relabelling` corrects
what is found here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.schedulers import NAMES, is_called_right, names_of, short_name
from storage.errors import ModelError
from storage.files.verification import Checked, Finding, Mislabelled
from storage.job import Model
from storage.jobs.sweeps import Sweep
from storage.models import hub
from storage.models.checkpoint_names import is_checkpoint
from storage.models.fingerprint import Digests, verify
from storage.models.located import SCHEDULER_CONFIG, read_scheduler_config
from storage.models.model_files import BUILTIN_FOLDERS, is_hub_id, locate
from storage.models.places import locate_place
from storage.sql.database import Database
from storage.sql.rows import model_columns, model_from_row
from storage.sql.scheduler_rows import row_of, store_names
from storage.sql.schema import (
    jobs,
    model_places,
    models,
    scheduler_names,
    schedulers,
    speeds,
    sweep_jobs,
)

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Called:
    """A scheduler on a model, as stored rows name it.

    Attributes:
        model_id: Row of the model.
        fingerprint: Of the model.
        class_name: Class in diffusers.
        options: JSON text.
        name: What it is called.
        jobs: How many jobs have it.
    """

    model_id: int
    fingerprint: str
    class_name: str
    options: str
    name: str
    jobs: int


class NameCheck:
    """Compares the names in older rows with the models' own configs.

    Attributes:
        unknown: Models that cannot be looked at, or have other files now.
    """

    def __init__(
        self, database: Database, *, digests: Digests, sweep: Sweep | None = None
    ) -> None:
        """Take the database of the rows; `sweep` limits the check to its jobs."""
        self._database = database
        self._digests = digests
        self._sweep = sweep
        self._places: dict[int, list[Model]] = {}
        self._configs: dict[int, Config | None] = {}
        self._planned: dict[int, Config | None] = {}
        self._right: list[_Called] = []
        self.unknown: dict[str, None] = {}

    def look(self) -> Iterator[Checked]:
        """Find wrong names; of each model's files, only one is read.

        Where a name is wrong, the model's files are hashed too, unless their digests
        are remembered: a folder may hold another model by now.

        Raises:
            DatabaseError: SQL cannot be reached.
        """
        with self._database.read() as connection:
            called = [*_select_jobs(connection, self._sweep)]
            called += [] if self._sweep else _select_speeds(connection)
            self._places = _read_places(connection)
        findings = [each for one in called for each in self._find(one)]
        yield Checked(images=0, findings=findings)

    def complete(self) -> None:
        """Note all names of rightly named schedulers, so that each name finds them.

        Raises:
            DatabaseError: SQL cannot be reached.
        """
        for one in self._right:
            config = self._config_as_planned(one) if one.jobs else None
            if config is not None and _is_right(one, config):
                row = (one.class_name, one.options, one.name)
                with self._database.write() as connection:
                    pair = (one.model_id, row_of(connection, row))
                    store_names(connection, {pair: _names(one, one.name, config)})

    def _find(self, one: _Called) -> Iterator[Finding]:
        config = self._config(one)
        if config is not None and not _is_right(one, config):
            config = self._config_as_planned(one)
        if config is None:
            self.unknown[self._name_of_model(one)] = None
        elif _is_right(one, config):
            self._right.append(one)
        else:
            # No class whose names pin options takes eta, so extras do not matter.
            options = json.loads(one.options)
            name = short_name(one.class_name, options, {}, config=config)
            yield _finding(one, name, config=config, model=self._name_of_model(one))

    def _name_of_model(self, one: _Called) -> str:
        return self._places[one.model_id][0].name

    def _config(self, one: _Called) -> Config | None:
        """Return the config in the first place where there is one."""
        if one.model_id not in self._configs:
            found = map(_read_config, self._places[one.model_id])
            self._configs[one.model_id] = next(filter(None, found), None)
        return self._configs[one.model_id]

    def _config_as_planned(self, one: _Called) -> Config | None:
        """Return the config in the first place that has the files of the jobs."""
        if one.model_id not in self._planned:
            places = self._places[one.model_id]
            whole = (place for place in places if _has_its_files(place, self._digests))
            found = next(whole, None)
            self._planned[one.model_id] = _read_config(found) if found else None
        return self._planned[one.model_id]


def _is_right(one: _Called, config: Config) -> bool:
    options = json.loads(one.options)
    return is_called_right(one.name, one.class_name, options, config=config)


def _names(one: _Called, name: str, config: Config) -> tuple[str, ...]:
    """Return all names of the scheduler that has this one."""
    if name not in NAMES:
        return (name,)
    of_job = (one.class_name, json.loads(one.options), NAMES[name].extras)
    return tuple(names_of(*of_job, config=config))


def _finding(one: _Called, name: str, *, config: Config, model: str) -> Finding:
    count = f"{one.jobs:,} job{'s' if one.jobs > 1 else ''}"
    what = count if one.jobs else "measured speeds"
    return Finding(
        problem="mislabelled",
        path="",
        detail=f"{what} of {model} called {one.name}: it is {name}",
        mislabelled=Mislabelled(
            model_id=one.model_id,
            fingerprint=one.fingerprint,
            class_name=one.class_name,
            options=one.options,
            called=one.name,
            name=name,
            names=_names(one, name, config),
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
            *(models.c.id.label("model_id"), models.c.fingerprint),
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
            fingerprint=row.fingerprint,
            class_name=row.class_name,
            options=row.options,
            name=row.name,
            jobs=row.jobs,
        )


def _select_speeds(connection: Connection) -> Iterator[_Called]:
    """Yield the schedulers of speeds, for models that have jobs and so are known."""
    kind = (speeds.c.scheduler_class, speeds.c.scheduler_options, speeds.c.scheduler)
    query = (
        sa.select(models.c.id.label("model_id"), models.c.fingerprint, *kind)
        .join(speeds, speeds.c.model_fingerprint == models.c.fingerprint)
        .distinct()
        .order_by(models.c.id, *kind)
    )
    for row in connection.execute(query):
        yield _Called(
            model_id=row.model_id,
            fingerprint=row.fingerprint,
            class_name=row.scheduler_class,
            options=row.scheduler_options,
            name=row.scheduler,
            jobs=0,
        )


def _read_places(connection: Connection) -> dict[int, list[Model]]:
    """Read the places of every model, the last submitted first."""
    query = (
        sa.select(models.c.id.label("id"), *model_columns())
        .join_from(model_places, models, models.c.id == model_places.c.model_id)
        .order_by(model_places.c.last_at.desc(), model_places.c.id.desc())
    )
    found: dict[int, list[Model]] = {}
    for row in connection.execute(query):
        found.setdefault(row.id, []).append(model_from_row(row))
    return found


def _read_config(model: Model) -> Config | None:
    """Read a model's scheduler config from its place; None if that is impossible."""
    try:
        if is_checkpoint(model.name):
            return locate_place(model).own_scheduler
        if is_hub_id(model.name):
            version = model.commit or model.revision
            return read_scheduler_config(
                hub.fetch(model.name, SCHEDULER_CONFIG, version, offline=True)
            )
        folder = BUILTIN_FOLDERS.get(model.name, Path(model.name))
        return read_scheduler_config(folder / SCHEDULER_CONFIG)
    except ModelError:
        return None


def _has_its_files(model: Model, digests: Digests) -> bool:
    """Return whether a model has the files that its jobs were planned with."""
    if is_hub_id(model.name):
        return model.commit is not None  # a commit stands for its files
    try:
        located = locate(model.name, variant=model.variant, download=False)
        verify(located, model.fingerprint, digests=digests)
    except ModelError:
        return False
    return True
