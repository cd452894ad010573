"""The pivot of a query: its images, and the place of each on every axis.

The browser moves axes to rows and columns by itself. So this is read once for a query,
and again where an axis is fixed to another label.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gallery.pivoting.axis_labels import Axes, Axis
from gallery.pivoting.column_axes import ColumnAxes
from gallery.pivoting.image_rows import Table, read_ratings, read_scores
from gallery.pivoting.narrowing import Narrowed, narrow
from gallery.pivoting.suggested_roles import suggest_roles
from gallery.pivoting.sweep_axes import SweepAxes
from storage.queries.names import read_axes
from storage.queries.selection import compile_query
from storage.sql.database import Database
from storage.sql.schema import FAILED_STATES, JOB_STATES

#: Most images of a pivot.
MOST_IMAGES = 20_000
#: Most labels of an axis that is fixed, and letters of an error.
MOST_LABELS = 200
ERROR_LETTERS = 300


def read_pivot(
    database: Database,
    query_text: str,
    fixes: Mapping[str, str] | None = None,
    most: int = MOST_IMAGES,
    *,
    who: str = "",
) -> dict[str, Any]:
    """Return the images of a query with their places on its axes, as JSON has them.

    Args:
        database: Where they are.
        query_text: The query.
        fixes: Axes that are fixed, each with its label.
        most: Images beyond which more axes are fixed, those with most labels first.
        who: The person whose ratings are shown.

    Raises:
        UsageError: The query cannot be read, or an axis of `fixes` does not exist.
    """
    with database.read() as connection:
        selection = compile_query(connection, query_text)
        columns = ColumnAxes(selection)
        stored = read_axes(selection.scope)
        axes: Axes = SweepAxes(selection, stored) if stored else columns
        found = narrow(selection, axes, fixes or {}, most=most)
        ids = found.table["id"]
        stars, verdicts = read_ratings(connection, ids, who=who)
        scores = read_scores(connection, ids)
        constant = columns.constants(found.table)
    return {
        "query": query_text,
        "total": found.total,
        "count": len(ids),
        **_axes(found, constant),
        **_images(found.table),
        "stars": stars,
        "verdict": verdicts,
        "narrowed": list(found.narrowed),
        "metrics": list(scores),
        "scores": scores,
    }


def _axes(found: Narrowed, constant: Mapping[str, str]) -> dict[str, Any]:
    """Return the axes on which images differ or one label is chosen, and the others."""
    varying = [
        axis for axis in found.axes if len(axis.labels) > 1 or axis.name in found.fixed
    ]
    names = {axis.name for axis in varying}
    alone = {a.name: a.labels[0] for a in found.axes if len(a.labels) == 1}
    free = {a.name: len(a.labels) for a in varying if a.name not in found.fixed}
    roles = suggest_roles(free)
    shown = {axis.name: _shown(axis, found.fixed.get(axis.name)) for axis in varying}
    return {
        "axes": [
            {
                "name": axis.name,
                "labels": shown[axis.name],
                "count": len(axis.labels),
                "fixed": found.fixed.get(axis.name),
                "suggested": roles.get(axis.name, "stack"),
            }
            for axis in varying
        ],
        "constant": {
            name: label
            for name, label in {**constant, **alone}.items()
            if name not in names
        },
        "places": {axis.name: _places(axis, shown[axis.name]) for axis in varying},
    }


def _shown(axis: Axis, fixed: str | None) -> list[str]:
    """Return the labels that are shown: all, or some if one of very many is fixed."""
    labels = list(axis.labels)
    if fixed is None or len(labels) <= MOST_LABELS:
        return labels
    some = labels[:MOST_LABELS]
    return some if fixed in some or fixed not in labels else [*some[:-1], fixed]


def _places(axis: Axis, labels: Sequence[str]) -> list[int | list[int]]:
    at = {label: place for place, label in enumerate(labels)}
    places: dict[tuple[str, ...], int | list[int]] = {(): -1}
    for some in set(axis.of_images) - places.keys():
        found = [at[label] for label in some if label in at]
        places[some] = found[0] if len(found) == 1 else found or -1
    return [*map(places.__getitem__, axis.of_images)]


def _images(table: Table) -> dict[str, Any]:
    states = {state: place for place, state in enumerate(JOB_STATES)}
    failed = {states[state] for state in FAILED_STATES}
    found = [*map(states.__getitem__, table["state"])]
    return {
        "states": list(JOB_STATES),
        "keys": list(table["key"]),
        "state": found,
        "width": list(table["width"]),
        "height": list(table["height"]),
        "time": [None if each is None else round(each, 4) for each in table["total_s"]],
        "errors": {
            str(place): (table["error"][place] or "")[:ERROR_LETTERS]
            for place, state in enumerate(found)
            if state in failed
        },
    }
