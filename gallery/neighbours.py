"""The images beside one: those that differ from it on one axis alone.

They are looked for in a query that has the image: the one that the page came from, or
that of a sweep. Within one sweep the axes are the sweep's, else the columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gallery.pivot import read_pivot
from gallery.pivoting.column_neighbours import read_beside
from gallery.pivoting.image_rows import read_ids
from storage.errors import UsageError
from storage.queries.names import sweep_names
from storage.queries.parsing import refine
from storage.queries.selection import Selection, compile_query
from storage.sql.database import Database
from storage.sql.schema import jobs

#: The axis of prompts; `prompt.1` and so on are the choices of a prompt.
PROMPT = "prompt"
#: Most images along one axis.
MOST = 1000

#: For each axis of an image, what is at each label: `label`, `key`, `state`, `is_here`.
Neighbours = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The images beside one.

    Attributes:
        scopes: Queries that have the image: what it may be compared within.
        scope: The one of them that the neighbours are of; empty if there is none.
        axes: The neighbours.
    """

    scopes: Sequence[str]
    scope: str
    axes: Neighbours


def find_neighbours(
    database: Database, known: Mapping[str, Any], *, query: str, scope: str
) -> Beside:
    """Return what is beside an image.

    Args:
        database: Where the images are.
        known: The image, as `Store.show` returns it.
        query: The query that the page came from; empty for none. It is passed over if
            it does not have the image.
        scope: Which of the scopes to take; the first if it is none of them.
    """
    sweeps = {refine("", sweep=one["sweep"]).text: one for one in known["sweeps"]}
    scopes = [*dict.fromkeys((*_scopes(database, query, known), *sweeps))]
    chosen = scope if scope in scopes else next(iter(scopes), "")
    axes = _find(database, known, chosen) if scopes else {}
    return Beside(scopes=scopes, scope=chosen, axes=axes)


def _scopes(database: Database, query: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Yield the query if it has the image; that of a sweep if it says no more."""
    try:
        with database.read() as connection:
            found = compile_query(connection, refine(query, key=known["key"]).text)
            has_it = bool(query.strip() and read_ids(found, most=1))
            whole = compile_query(connection, query)
    except UsageError:
        return
    if has_it:
        is_sweep = whole.scope.sweep_id is not None and not whole.conditions
        yield refine("", sweep=whole.sweeps[0]).text if is_sweep else query


def _find(database: Database, known: Mapping[str, Any], query: str) -> Neighbours:
    with database.read() as connection:
        selection = compile_query(connection, query)
        if selection.scope.sweep_id is None:
            return _beside_columns(selection, known["key"])
        ids = sweep_names(connection)
    (cell,) = (
        one["cell"]
        for one in known["sweeps"]
        if ids[one["sweep"]] == selection.scope.sweep_id
    )
    return _beside_cell(database, known, query, cell)


def _beside_columns(selection: Selection, key: str) -> Neighbours:
    mine = sa.select(jobs.c.id).where(jobs.c.key == key)
    here = selection.scope.connection.execute(mine).scalar_one()
    beside = read_beside(selection, here, most=MOST)
    return {
        axis.name: _row(
            axis.labels,
            zip(axis.of_images, table["key"], table["state"], strict=True),
            here=key,
        )
        for axis, table in beside
    }


def _beside_cell(
    database: Database, known: Mapping[str, Any], query: str, stored: Mapping[str, Any]
) -> Neighbours:
    cell = {axis: _first(label) for axis, label in stored.items()}
    of_template = refine(query, template=known["prompt_template"]).text
    return {
        axis: _along(
            database,
            of_template if _is_choice(axis) else query,
            axis,
            cell=cell,
            here=known["key"],
        )
        for axis in cell
    }


def _along(
    database: Database, query: str, axis: str, *, cell: Mapping[str, str], here: str
) -> list[dict[str, Any]]:
    """Return the label of every image that shares all other labels of a cell."""
    others = {
        name: label for name, label in cell.items() if name not in _free(axis, cell)
    }
    found = read_pivot(database, query, others, MOST)
    states = [found["states"][state] for state in found["state"]]
    labels = {one["name"]: one["labels"] for one in found["axes"]}.get(axis, [])
    places = found["places"].get(axis, ())
    named = [
        [
            labels[at]
            for at in (place if isinstance(place, list) else [place])
            if at >= 0
        ]
        for place in places
    ]
    return _row(labels, zip(named, found["keys"], states, strict=False), here=here)


def _row(
    labels: Sequence[str],
    images: Iterable[tuple[Sequence[str], str, str]],
    *,
    here: str,
) -> list[dict[str, Any]]:
    """Return what is at each label, of images with their labels, keys and states."""
    made = {label: (key, state) for some, key, state in images for label in some}
    return [
        {
            "label": label,
            "key": made[label][0] if label in made else None,
            "state": made[label][1] if label in made else None,
            "is_here": label in made and made[label][0] == here,
        }
        for label in labels
    ]


def _free(axis: str, cell: Mapping[str, str]) -> set[str]:
    """Return the axes that change with one: a prompt, and its choices."""
    if axis == PROMPT:
        return {PROMPT, *filter(_is_choice, cell)}
    return {axis, PROMPT} if _is_choice(axis) else {axis}


def _is_choice(axis: str) -> bool:
    return axis.startswith(f"{PROMPT}.")


def _first(label: str | list[str]) -> str:
    return label if isinstance(label, str) else label[0]
