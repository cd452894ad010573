"""Entries of `exclude` and `include`: what they name, read against the axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yaml.nodes import Node, ScalarNode

from producer.spec.axes import Axis, ValueReader, is_all
from producer.spec.parameters import PARAMETERS
from producer.spec.problems import Place, nearest, shown
from producer.spec.yamltext import fields, is_null, items, place_of, text_of
from storage.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of an entry, and everything that it names.

    Attributes:
        key: An axis or a parameter.
        labels: Names that the sweep itself gave to values of that axis.
        values: Values of that parameter.
    """

    key: str
    labels: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: a cell matches when it matches every condition."""

    conditions: tuple[Condition, ...]
    place: Place


def read_entries(
    name: str, node: Node, *, axes: Sequence[Axis], reader: ValueReader
) -> tuple[Entry, ...]:
    """Read `exclude` or `include`; wrong entries become problems of the reader."""
    entries = []
    for item in items(node):
        with reader.problems.at(place_of(item)):
            entries.append(_read_entry(name, item, axes, reader))
    return tuple(entries)


def _read_entry(
    name: str, node: Node, axes: Sequence[Axis], reader: ValueReader
) -> Entry:
    known = list(dict.fromkeys([*(axis.name for axis in axes), *PARAMETERS]))
    what = f"an entry of {name}"
    conditions = []
    entry = fields(node, reader.problems, what=what, known=known, with_nulls=True)
    if not node.value:
        msg = f"{what} must name at least one parameter, got none; name one"
        raise UsageError(msg)
    for key, child in entry.items():
        axis = next((axis for axis in axes if axis.name == key), None)
        condition = _read_condition(key, child, axis, reader)
        if condition.labels or condition.values:
            conditions.append(condition)
    return Entry(conditions=tuple(conditions), place=place_of(node))


def _read_condition(
    key: str, node: Node, axis: Axis | None, reader: ValueReader
) -> Condition:
    labels: list[str] = []
    values: list[Any] = []
    for item in items(node):
        with reader.problems.at(place_of(item)):
            is_label = isinstance(item, ScalarNode) and not is_null(item)
            label = item.value if is_label else None
            if axis is not None and label and axis.labelled(label):
                labels.append(label)
            else:
                values += _read_values(key, item, axis, reader)
    return Condition(key=key, labels=tuple(labels), values=tuple(values))


def _read_values(
    key: str, node: Node, axis: Axis | None, reader: ValueReader
) -> list[Any]:
    if key not in PARAMETERS:
        known = [v.label for v in axis.values if v.label] if axis else []
        text = text_of(node, what=key)
        hint = nearest(text, known) if known else "give its values labels"
        msg = f"{key} must be one of its labels, got {shown(text)}; {hint}"
        raise UsageError(msg)
    values = [*reader.read_values(key, node)]
    if any(map(is_all, values)):
        msg = "a scheduler must be named here, got all; write a name such as ddim"
        raise UsageError(msg)
    return values
