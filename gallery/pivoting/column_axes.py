"""The axes of images of any sweeps: the columns in which they may differ."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gallery.pivoting.axis_labels import Axis, Labels
from gallery.pivoting.image_rows import Table, among
from storage.catalogue.pipeline_calls import all_parameters, parameters_of
from storage.job import EXTRAS
from storage.queries.columns import find_column
from storage.queries.parsing import parse, quote
from storage.queries.scope import Condition
from storage.queries.selection import Selection
from storage.queries.values import text_of
from storage.sql.schema import (
    jobs,
    model_places,
    models,
    prompts,
    schedulers,
    sweep_jobs,
    sweeps,
)

#: The columns of jobs that each axis is made from, in the order of display.
RAW: Mapping[str, tuple[str, ...]] = {
    "sweep": ("sweep_id",),
    "model": ("model_id",),
    "prompt": ("prompt_id",),
    "negative": ("prompt_id",),
    "seed": ("seed",),
    "scheduler": ("scheduler_id",),
    "steps": ("steps",),
    "guidance": ("guidance",),
    "size": ("width", "height"),
    "dtype": ("dtype",),
    "backend": ("backend",),
    "generator": ("generator",),
}
#: What extras and inputs of pipelines are made from.
EXTRA = ("model_id", "extras")

#: What the ids of a table's rows are called.
Names = Mapping[Any, str]


class ColumnAxes:
    """The columns of a query's images."""

    def __init__(self, selection: Selection) -> None:
        """Take the query."""
        self._selection = selection
        self._connection = selection.scope.connection
        self._whole: dict[str, Names] = {}

    def read(self, table: Table) -> list[Axis]:
        """Return all columns of some images."""
        return [self._sweeps(table), *self._columns(table)]

    def constants(self, table: Table) -> dict[str, str]:
        """Return the columns that have one value only, with it."""
        alone = {
            name: values[:1]
            for name, values in table.items()
            if values and values.count(values[0]) == len(values)
        }
        found = {each.name: each.labels[0] for each in self._columns(alone)}
        sweep_id = self._selection.scope.sweep_id
        if sweep_id is not None:
            found["sweep"] = self._names("sweep")[sweep_id]
        return found

    def size(self, axis: Axis) -> int:
        """Return how many labels the images that were read have on an axis."""
        return len(axis.labels)

    def all_labels(self, name: str, seen: Sequence[str]) -> list[str]:
        """Return the labels of all images, the smallest or the oldest first."""
        raw = [jobs.c[each] for each in RAW.get(name, EXTRA)]
        rows = self._selection.select(*raw, sa.func.min(jobs.c.id)).group_by(*raw)
        found = sorted(self._connection.execute(rows).all(), key=lambda row: row[-1])
        values = [row[0] if len(raw) == 1 else tuple(row[:-1]) for row in found]
        labels = self._axis(name, values).labels
        return list(dict.fromkeys((*labels, *seen)))

    def has(self, name: str, label: str, *, is_value: bool) -> Condition:
        """Return the condition that a column has a value, or may have it."""
        if name == "sweep":
            mine = sa.select(sweeps.c.id).where(sweeps.c.name == label)
            members = sa.select(sweep_jobs.c.job_id).correlate(None)
            return jobs.c.id.in_(members.where(sweep_jobs.c.sweep_id.in_(mine)))
        if name in _TEXTS:
            mine = sa.select(prompts.c.id).where(_TEXTS[name] == label)
            return jobs.c.prompt_id.in_(mine)
        if name in _WHOLE:
            known = self._names(name)
            return jobs.c[RAW[name][0]].in_([i for i in known if known[i] == label])
        column = find_column(name)
        if column is None:
            return sa.true()
        (term,) = parse(f"{name}:{quote(label)}").terms
        return column.condition(self._selection.scope, term.values)

    def _columns(self, table: Table) -> Iterator[Axis]:
        """Yield the columns that can be made from those of a table, but the sweeps."""
        for name, raw in RAW.items():
            if name != "sweep" and table.keys() >= set(raw):
                yield self._axis(name, _zipped(table, raw))
        if table.keys() >= set(EXTRA):
            texts = set(table["extras"]) - {"{}"}
            named = {name for text in texts for name in json.loads(text)}
            for name in (*EXTRAS, *all_parameters()):
                if name in named:
                    yield self._axis(name, _zipped(table, EXTRA))

    def _sweeps(self, table: Table) -> Axis:
        """Return the axis of the sweeps, several of which may want an image."""
        names = self._names("sweep")
        counted = self._selection.scope.sweep_ids or self._own_sweeps()
        members = sa.select(sweep_jobs.c.job_id, sweep_jobs.c.sweep_id)
        members = members.where(among(sweep_jobs.c.job_id, table["id"]))
        wanted: dict[int, tuple[int, ...]] = {}
        for job_id, sweep_id in sorted(self._connection.execute(members).all()):
            if sweep_id in counted:
                wanted[job_id] = (*wanted.get(job_id, ()), sweep_id)
        both = zip(table["id"], table["sweep_id"], strict=True)
        ids = [wanted.get(job_id, (sweep_id,)) for job_id, sweep_id in both]
        known = {some: tuple(names[each] for each in some) for some in set(ids)}
        seen = sorted({each for some in known for each in some})
        return Axis(
            name="sweep",
            labels=[names[each] for each in seen],
            of_images=[known[some] for some in ids],
        )

    def _own_sweeps(self) -> Collection[int]:
        """Return the sweeps that hold no references."""
        own = sa.select(sweeps.c.id).where(sweeps.c.reference_of.is_(None))
        return set(self._connection.execute(own).scalars())

    def _axis(self, name: str, values: Sequence[Any]) -> Axis:
        named = self._labels(name, list(dict.fromkeys(values)))
        labels = list(dict.fromkeys(label for each in named.values() for label in each))
        return Axis(
            name=name,
            labels=_in_order(labels),
            of_images=[named[value] for value in values],
        )

    def _labels(self, name: str, values: Sequence[Any]) -> dict[Any, Labels]:
        if name not in RAW:
            return {value: self._extra(name, *value) for value in values}
        if name in _TEXTS:
            texts = sa.select(prompts.c.id, _TEXTS[name])
            texts = texts.where(among(prompts.c.id, values))
            rows = self._connection.execute(texts)
            known: Names = {row.id: row[1] for row in rows}
            return {value: (known[value],) for value in values}
        if name in _WHOLE:
            known = self._names(name)
            return {value: (known[value],) for value in values}
        return {value: (text_of(value),) for value in values}

    def _extra(self, name: str, model_id: int, extras: str) -> Labels:
        default = EXTRAS.get(name)
        if default is None:
            known = parameters_of(self._names("pipeline")[model_id]).get(name)
            default = known.default if known else None
        value = json.loads(extras).get(name, default)
        return () if value is None else (text_of(value),)

    def _names(self, name: str) -> Names:
        if name not in self._whole:
            rows = self._connection.execute(_WHOLE[name]).all()
            self._whole[name] = _told_apart(rows)
        return self._whole[name]


#: Axes whose labels are texts of prompts, of which there may be very many.
_TEXTS = {"prompt": prompts.c.text, "negative": prompts.c.negative}
_NEWEST = sa.select(sa.func.max(model_places.c.id)).group_by(model_places.c.model_id)
#: Tables that are read as a whole: ids, names, and what tells equal names apart.
_WHOLE: Mapping[str, sa.Select[Any]] = {
    "sweep": sa.select(sweeps.c.id, sweeps.c.name, sa.literal("")),
    "scheduler": sa.select(schedulers.c.id, schedulers.c.name, schedulers.c.options),
    "pipeline": sa.select(models.c.id, models.c.pipeline, sa.literal("")),
    "model": sa.select(
        models.c.id, model_places.c.name, sa.func.substr(models.c.fingerprint, 1, 8)
    )
    .join(model_places, model_places.c.model_id == models.c.id)
    .where(model_places.c.id.in_(_NEWEST)),
}


def _told_apart(rows: Sequence[Any]) -> Names:
    """Return names by id; equal ones with what tells them apart."""
    count = Counter(name for _, name, _ in rows)
    return {
        i: f"{name} ({more})" if more and count[name] > 1 else name
        for i, name, more in rows
    }


def _in_order(labels: list[str]) -> list[str]:
    """Return labels that are all numbers or sizes in order, others as they are."""
    try:
        return sorted(labels, key=lambda label: [*map(float, label.split("x"))])
    except ValueError:
        return labels


def _zipped(table: Table, columns: Sequence[str]) -> Sequence[Any]:
    values = [table[each] for each in columns]
    return values[0] if len(values) == 1 else list(zip(*values, strict=True))
