"""The axes of one sweep, with the labels that it has given to its images."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from gallery.pivoting.axis_labels import Axis, Labels
from gallery.pivoting.image_rows import Table
from storage.queries.scope import Condition
from storage.queries.selection import Selection
from storage.sql.extras import read_json
from storage.sql.schema import jobs, prompts, sweep_jobs


class SweepAxes:
    """The axes of the one sweep that a query names."""

    def __init__(
        self, selection: Selection, stored: Mapping[str, Sequence[str]]
    ) -> None:
        """Take the query, and the axes of its sweep with their labels."""
        self._selection = selection
        self._stored = stored

    def read(self, table: Table) -> list[Axis]:
        """Return the axes of the sweep, then those that only its images know."""
        cells = json.loads(f"[{','.join(table['cell'])}]")
        known = set().union(*cells)
        names = [*self._stored, *sorted(known - self._stored.keys())]
        return [self._axis(name, [cell.get(name) for cell in cells]) for name in names]

    def size(self, axis: Axis) -> int:
        """Return how many labels the sweep has on an axis."""
        return len(self._stored.get(axis.name, axis.labels))

    def all_labels(self, name: str, seen: Sequence[str]) -> list[str]:
        """Return the labels as the sweep has them, whatever else the query says."""
        stored = self._stored.get(name) or self._distinct(name)
        return list(dict.fromkeys((*stored, *seen)))

    def has(self, name: str, label: str, *, is_value: bool) -> Condition:
        """Return the condition that an image has a label, or that none is its own."""
        value = self._value(name)
        text, key = (json.dumps(each, ensure_ascii=False) for each in (label, name))
        # The text first, since to read JSON takes twice as long.
        said = sa.and_(
            self._cell_has(text), sa.or_(value == label, value.startswith("["))
        )
        found = self._found_by_index(name, label) if is_value else ()
        return sa.and_(*found, sa.or_(said, sa.not_(self._cell_has(f"{key}:"))))

    def _cell_has(self, text: str) -> Condition:
        """Return the condition that the JSON of a cell has a text in it."""
        is_sqlite = self._selection.scope.connection.dialect.name == "sqlite"
        find = sa.func.instr if is_sqlite else sa.func.strpos
        return find(sweep_jobs.c.cell, text) > 0

    def _axis(self, name: str, values: Sequence[Any]) -> Axis:
        given = values
        if list in set(map(type, values)):
            given = [tuple(each) if type(each) is list else each for each in values]
        named: dict[Any, Labels] = {
            each: each if isinstance(each, tuple) else (each,)
            for each in dict.fromkeys(given)
        }
        named[None] = ()
        seen = dict.fromkeys(label for labels in named.values() for label in labels)
        ordered = dict.fromkeys((*self._stored.get(name, ()), *seen))
        labels = [label for label in ordered if label in seen]
        return Axis(
            name=name, labels=labels, of_images=[*map(named.__getitem__, given)]
        )

    def _value(self, name: str) -> sa.ColumnElement[Any]:
        connection = self._selection.scope.connection
        value: sa.ColumnElement[Any] = read_json(connection, sweep_jobs.c.cell)[
            name
        ].as_string()
        return value

    def _distinct(self, name: str) -> list[str]:
        rows = self._selection.select(self._value(name)).distinct()
        found = self._selection.scope.connection.execute(rows).scalars()
        return sorted(each for each in found if each and not each.startswith("["))

    def _found_by_index(self, name: str, label: str) -> Iterator[Condition]:
        """Yield a condition by which an index finds all images with a value."""
        column: sa.ColumnElement[bool] | None = None
        if name == "seed" and label.isdecimal() and label.isascii():
            column = jobs.c.seed == int(label)
        elif name == "prompt":
            query = sa.select(prompts.c.id).where(prompts.c.text == label)
            ids = self._selection.scope.connection.execute(query).scalars().all()
            column = jobs.c.prompt_id.in_(ids) if ids else None
        if column is not None:
            mine = sa.select(jobs.c.id).where(column).correlate(None)
            yield sweep_jobs.c.job_id.in_(mine)
