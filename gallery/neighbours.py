"""The images beside one: those of its sweep that differ from it on one axis alone."""

from collections.abc import Mapping
from typing import Any

from gallery.pivot import read_pivot
from storage.queries.parsing import refine
from storage.sql.database import Database

#: The axis of prompts; `prompt.1` and so on are the choices of a prompt.
PROMPT = "prompt"
#: Most images along one axis.
MOST = 1000


def find_neighbours(
    database: Database, known: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Return for each axis of an image's first sweep the image at each label.

    Args:
        database: Where the images are.
        known: The image, as `Store.show` returns it.
    """
    if not known["sweeps"]:
        return {}
    first = known["sweeps"][0]
    cell = {axis: _first(label) for axis, label in first["cell"].items()}
    query = refine("", sweep=first["sweep"])
    of_template = refine(query, template=known["prompt_template"])
    return {
        axis: _along(
            database,
            of_template.text if _is_choice(axis) else query.text,
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
    made: dict[int, tuple[str, str]] = {}
    for place, key, state in zip(
        found["places"].get(axis, ()), found["keys"], states, strict=False
    ):
        for index in place if isinstance(place, list) else [place]:
            made[index] = (key, state)
    return [
        {
            "label": label,
            "key": made[index][0] if index in made else None,
            "state": made[index][1] if index in made else None,
            "is_here": index in made and made[index][0] == here,
        }
        for index, label in enumerate(labels)
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
