"""What `--json` writes: JSON lines whose values are JSON all the way down."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from storage.catalogue.pipeline_calls import names_of

#: The option that every command with rows has; its argument is `as_json`.
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON lines instead of text."
)

#: Axes whose labels are numbers, unless a sweep gave a value a label of its own.
NUMERIC = frozenset(
    ("seed", "steps", "guidance", "width", "height", "eta", "clip_skip", "strength")
).union(names_of("integer", "number"))

# A number as JSON writes it.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)
# Columns of the views that hold JSON as text.
_NESTED = ("scheduler_options", "extras", "cell")
# A count that environments store as text.
_COUNTED = "threads"


def write_json(rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as JSON, one a line, as they come; return their count."""
    count = 0
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    sys.stdout.flush()  # before what follows on standard error
    return count


def open_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the views, or of `Store.show`, with its nested values parsed."""
    opened = dict(row)
    for name in _NESTED:
        if isinstance(opened.get(name), str):
            opened[name] = json.loads(opened[name])
    if "cell" in opened:
        opened["cell"] = _open_cell(opened["cell"])
    if "sweeps" in opened:
        opened["sweeps"] = [open_row(each) for each in opened["sweeps"]]
    if _COUNTED in opened.get("environment", ()):
        details = dict(opened["environment"])
        opened["environment"] = {**details, _COUNTED: int(details[_COUNTED])}
    return opened


def open_label(axis: str, label: str) -> str | int | float:
    """Return a label, as a number if its axis is numeric and the label is a number."""
    if axis not in NUMERIC or not _NUMBER.fullmatch(label):
        return label
    number: int | float = json.loads(label)
    return number


def open_axes(axes: Mapping[str, Sequence[str]]) -> dict[str, list[str | int | float]]:
    """Return axes with the labels of their values, numbers as numbers."""
    return {
        axis: [open_label(axis, label) for label in labels]
        for axis, labels in axes.items()
    }


def _open_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the labels of a cell: one on each axis, or several that mean the same."""
    return {
        axis: open_label(axis, label)
        if isinstance(label, str)
        else [open_label(axis, each) for each in label]
        for axis, label in cell.items()
    }
