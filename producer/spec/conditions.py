"""Entries of `exclude` and `include`: what they name, read against the axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yaml.nodes import Node, ScalarNode

from producer.spec.axes import Axis, Count, ValueReader, is_set
from producer.spec.entries import fields, items
from producer.spec.parameters import PARAMETERS
from producer.spec.problems import Place, nearest, shown
from producer.spec.yamltext import is_null, place_of, text_of
from storage.catalogue.scheduler_sets import is_glob
from storage.errors import UsageError

#: The most values that `exclude` may name, unless the sweep may have more jobs.
MOST_EXCLUDED = 100_000


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
class ConditionEntry:
    """One entry: a cell matches when it matches every condition."""

    conditions: tuple[Condition, ...]
    place: Place


def read_entries(
    name: str, node: Node, *, axes: Sequence[Axis], reader: ValueReader
) -> tuple[ConditionEntry, ...]:
    """Read `exclude` or `include`; wrong entries become problems of the reader."""
    entries = []
    section = _Section(name, axes, reader)
    for item in items(node):
        with reader.problems.at(place_of(item)):
            entries.append(section.read_entry(item))
        if section.count.is_over:
            break
    return tuple(entries)


class _Section:
    """Reads the entries of `exclude` or `include`, and counts their values."""

    def __init__(self, name: str, axes: Sequence[Axis], reader: ValueReader) -> None:
        adds = name == "include"
        limit = reader.limit if adds else max(reader.limit, MOST_EXCLUDED)
        self.count = Count(name, limit, is_of_jobs=adds)
        self._what = f"an entry of {name}"
        self._axes: Mapping[str, Axis] = {axis.name: axis for axis in axes}
        self._known = list(dict.fromkeys([*self._axes, *PARAMETERS]))
        self._reader = replace(reader, limit=limit)

    def read_entry(self, node: Node) -> ConditionEntry:
        """Read one entry.

        Raises:
            UsageError: It names nothing, or all entries so far name too many values.
        """
        conditions = []
        problems = self._reader.problems
        entry = fields(
            node, problems, what=self._what, known=self._known, with_nulls=True
        )
        if not node.value:
            msg = f"{self._what} must name at least one parameter, got none; name one"
            raise UsageError(msg)
        for key, child in entry.items():
            condition = self._read_condition(key, child)
            if condition.labels or condition.values:
                conditions.append(condition)
        return ConditionEntry(conditions=tuple(conditions), place=place_of(node))

    def _read_condition(self, key: str, node: Node) -> Condition:
        labels: list[str] = []
        values: list[Any] = []
        axis = self._axes.get(key)
        written = items(node)
        if not written:
            msg = (
                f"{key} must have a value in {self._what}, got an empty list; name "
                "one, or leave the key out"
            )
            raise UsageError(msg)
        for item in written:
            before = len(labels) + len(values)
            with self._reader.problems.at(place_of(item)):
                is_label = isinstance(item, ScalarNode) and not is_null(item)
                label = item.value if is_label else None
                if axis is not None and label and label in axis.labelled:
                    labels.append(label)
                else:
                    values += self._read_values(key, item, axis)
            self.count.add(len(labels) + len(values) - before)
        return Condition(key=key, labels=tuple(labels), values=tuple(values))

    def _read_values(self, key: str, node: Node, axis: Axis | None) -> Sequence[Any]:
        if key not in PARAMETERS:
            known = list(axis.labelled) if axis else []
            text = text_of(node, what=key)
            hint = nearest(text, known) if known else "give its values labels"
            msg = f"{key} must be one of its labels, got {shown(text)}; {hint}"
            raise UsageError(msg)
        values = self._reader.read_values(key, node)
        for value in filter(is_set, values):
            if not is_glob(value.written):
                msg = (
                    f"a scheduler must be named here, got {value.written}; write a name"
                    " such as ddim, or a pattern such as dpmpp_*"
                )
                raise UsageError(msg)
        return values
