"""The images of a query that differ from one in a single column."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from gallery.pivoting.axis_labels import Axis
from gallery.pivoting.column_axes import RAW, ColumnAxes
from gallery.pivoting.image_rows import Table, read_ids, read_table
from storage.queries.scope import Condition
from storage.queries.selection import Selection
from storage.sql.schema import jobs, prompts

#: The columns that can differ alone. An image that several sweeps want is one image.
COLUMNS = {name: raw for name, raw in RAW.items() if name != "sweep"}
#: The half of a prompt that stays as it is while the other half changes.
_OTHER_TEXT = {"prompt": prompts.c.negative, "negative": prompts.c.text}


def read_beside(
    selection: Selection, here: int, *, most: int
) -> Iterator[tuple[Axis, Table]]:
    """Yield each column with the images that share all others with one image.

    Args:
        selection: The query.
        here: The id of one of its images.
        most: Images of a column that are enough.
    """
    columns = ColumnAxes(selection)
    mine = {name: some[0] for name, some in read_table(selection, [here]).items()}
    has_extras = jobs.c.extras == mine["extras"]
    for name in COLUMNS:
        table = _read(selection, (has_extras, *_same(mine, but=name)), most=most)
        yield from _axis(columns, name, table)
    alike = _read(selection, tuple(_same(mine)), most=most)
    extras = [json.loads(each) for each in alike["extras"]]
    for name in sorted({name for each in extras for name in each}):
        own = _without(json.loads(mine["extras"]), name)
        kept = [i for i, each in enumerate(extras) if _without(each, name) == own]
        table = {raw: [some[i] for i in kept] for raw, some in alike.items()}
        yield from _axis(columns, name, table)


def _read(
    selection: Selection, conditions: tuple[Condition, ...], *, most: int
) -> Table:
    beside = replace(selection, conditions=(*selection.conditions, *conditions))
    return read_table(beside, read_ids(beside, most=most))


def _axis(columns: ColumnAxes, name: str, table: Table) -> Iterator[tuple[Axis, Table]]:
    yield from ((axis, table) for axis in columns.read(table) if axis.name == name)


def _same(mine: Mapping[str, Any], *, but: str = "") -> Iterator[Condition]:
    """Yield the conditions that images are as one is in all columns but one."""
    every = (raw for names in COLUMNS.values() for raw in names)
    changing = COLUMNS.get(but, ())
    yield from (jobs.c[raw] == mine[raw] for raw in every if raw not in changing)
    if but in _OTHER_TEXT:
        text = _OTHER_TEXT[but]
        own = sa.select(text).where(prompts.c.id == mine["prompt_id"])
        alike = sa.select(prompts.c.id).where(text == own.scalar_subquery())
        yield jobs.c.prompt_id.in_(alike)


def _without(extras: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in extras.items() if each != name}
