"""Where the images of a query are on one of its axes, and what else is equal.

Within one sweep, an axis is one of the sweep's own, and the cell of each image says its
label. Otherwise it is a parameter, and its value is the label.
"""

import json
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.catalogue.pipeline_calls import PREFIX
from storage.errors import UsageError
from storage.queries.column_kinds import Column, Expression
from storage.queries.columns import COLUMNS, find_column
from storage.queries.names import read_axes
from storage.queries.scope import Condition
from storage.queries.selection import Selection
from storage.queries.values import text_of
from storage.sql.schema import jobs, sweep_jobs

#: The columns of queries that decide a picture, besides its extras.
PARAMETERS = (
    *("model", "prompt", "negative", "seed", "scheduler", "steps", "guidance"),
    *("width", "height", "dtype", "backend", "generator"),
)
#: Extras that may be compared; eta is part of a scheduler's name.
_EXTRAS = (
    *("clip_skip", "image", "resize", "strength", "strict", "tag"),
    *("quantize", "cache"),
)
#: What a column decides besides itself.
_DECIDES = {"size": ("width", "height"), "scheduler": ("eta",)}
#: Columns of jobs that surely are equal in two images that differ in one axis alone.
_EQUAL = {
    "scheduler": ("seed", "prompt_id", "model_id", "steps"),
    "steps": ("seed", "prompt_id", "model_id"),
    "seed": ("prompt_id", "model_id", "steps", "scheduler_id"),
    "prompt": ("seed", "model_id", "steps"),
}
_CHOICE = re.compile(r"prompt\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An image on an axis.

    Attributes:
        job_id: Row of its job.
        key: Its key.
        label: Its value on the axis.
        rest: All else that decides it: two images with the same rest differ in the axis
            alone.
        prompt_id: Row of its prompt.
    """

    job_id: int
    key: str
    label: str
    rest: Hashable
    prompt_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """How an axis is read.

    Attributes:
        columns: What is read of each row.
        equal: Names of columns of jobs that are equal in images with the same rest.
        split: Returns the label and the rest; None for a row without a label.
    """

    columns: Sequence[Expression]
    equal: Sequence[str]
    split: Callable[[Sequence[Any]], tuple[str, Hashable] | None]


def read_places(
    selection: Selection, by: str, *conditions: Condition, limit: int | None = None
) -> list[Place]:
    """Return the places of images, in the order of submission.

    Images on which the axis has no effect have no place.

    Args:
        selection: The images.
        by: The axis: one of the named sweep, or a parameter.
        conditions: What else they must meet, on `jobs`.
        limit: Most images that are looked at.

    Raises:
        UsageError: There is no such axis.
    """
    axis = _find_axis(selection, by)
    columns = (jobs.c.id, jobs.c.key, jobs.c.prompt_id)
    rows = selection.select(*columns, *axis.columns).where(*conditions)
    read = rows.order_by(selection.job_id).limit(limit)
    places = []
    for job_id, key, prompt_id, *values in selection.scope.connection.execute(read):
        if found := axis.split(values):
            label, rest = found
            ids = {"job_id": job_id, "key": key, "prompt_id": prompt_id}
            places.append(Place(label=label, rest=rest, **ids))
    return places


def read_neighbours(
    selection: Selection, by: str, job_id: int, *, limit: int
) -> list[Place]:
    """Return the places of all images that may differ from one in an axis alone.

    Others are among them, and the image itself is.

    Args:
        selection: The images.
        by: As in `read_places`.
        job_id: Row of the one.
        limit: Most images that are looked at.
    """
    columns = [jobs.c[name] for name in _find_axis(selection, by).equal]
    values = sa.select(jobs.c.id, *columns).where(jobs.c.id == job_id)
    _, *known = selection.scope.connection.execute(values).one()
    alike = (column == value for column, value in zip(columns, known, strict=True))
    ids = sa.select(jobs.c.id).where(*alike).correlate(None)
    return read_places(selection, by, selection.job_id.in_(ids), limit=limit)


def _find_axis(selection: Selection, by: str) -> _Axis:
    axes = [*read_axes(selection.scope)]
    if by in axes or (axes and _CHOICE.fullmatch(by)):
        return _axis_of_sweep(by, axes)
    column = find_column(by)
    if column and (
        column.name in (*PARAMETERS, *_DECIDES, *_EXTRAS)
        or column.name.startswith(PREFIX)
    ):
        return _axis_of_parameter(selection, column)
    known = ", ".join(axes or (*PARAMETERS, *_EXTRAS))
    msg = f"images must be compared by one of {known}, got {by!r}; choose another."
    raise UsageError(msg)


def _axis_of_sweep(by: str, axes: Sequence[str]) -> _Axis:
    def split(values: Sequence[Any]) -> tuple[str, Hashable] | None:
        cell, *revised = values
        labels: dict[str, str | list[str]] = json.loads(cell)
        label = labels.pop(by, None)
        if label is None:
            return None
        for name in [each for each in labels if _follows(each, by)]:
            del labels[name]
        # Several labels mean one image: they are one value.
        text = label if isinstance(label, str) else ", ".join(label)
        return text, (json.dumps(labels), *revised)

    # Between two revisions, more than the cell may differ.
    columns = [sweep_jobs.c.cell, sweep_jobs.c.revision]
    if _CHOICE.fullmatch(by):
        columns.append(sweep_jobs.c.template_id)
    # An axis of any other name may set anything that is no axis itself.
    others = [name for name in ("seed", "steps") if name in axes]
    equal = _EQUAL.get(by.partition(".")[0], others)
    return _Axis(columns=columns, equal=equal, split=split)


def _follows(axis: str, by: str) -> bool:
    """Return whether an axis has another label only since another one has."""
    if by == "prompt":
        return bool(_CHOICE.fullmatch(axis))
    return axis == "prompt" and bool(_CHOICE.fullmatch(by))


def _axis_of_parameter(selection: Selection, column: Column) -> _Axis:
    by = column.name
    decided = {by, *_DECIDES.get(by, ())}
    names = [name for name in PARAMETERS if name not in decided]

    def split(values: Sequence[Any]) -> tuple[str, Hashable] | None:
        value, extras, *rest = values
        if value is None:
            return None
        return text_of(value), (*rest, _without(extras, decided))

    columns = [COLUMNS[name].value(selection.scope) for name in names]
    value = column.value(selection.scope)
    return _Axis(
        columns=[value, jobs.c.extras, *columns],
        equal=_EQUAL.get(by, ("seed", "steps")),
        split=split,
    )


def _without(extras: str, names: set[str]) -> str:
    kept = {name: one for name, one in json.loads(extras).items() if name not in names}
    return json.dumps(kept, sort_keys=True)
