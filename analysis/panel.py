"""Values of one metric, laid out by prompt, seed and setting."""

from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Self

import numpy as np
from numpy.typing import NDArray

from storage.errors import UsageError

Floats = NDArray[np.float64]
#: One prompt, seed, setting and value; None or NaN where the value is missing.
Row = tuple[Hashable, Hashable, Hashable, float | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """Values of one metric for every prompt, seed and setting.

    Attributes:
        metric: The name of the metric.
        higher_is_better: Whether a larger value is a better one.
        prompts: Labels of the first axis, sorted.
        seeds: Labels of the second axis, sorted.
        settings: Labels of the third axis, in the order of the rows.
        values: (prompts, seeds, settings), NaN where a value is missing.
    """

    metric: str
    higher_is_better: bool
    prompts: tuple[Hashable, ...]
    seeds: tuple[Hashable, ...]
    settings: tuple[Hashable, ...]
    values: Floats

    @classmethod
    def from_rows(
        cls, rows: Iterable[Row], *, metric: str, higher_is_better: bool
    ) -> Self:
        """Lay out rows; the order of rows decides only the order of settings.

        Raises:
            UsageError: Two rows have the same place, or a value is infinite.
        """
        known = _Known()
        for row in rows:
            known.take(row)
        prompts, seeds, settings = known.labels
        axes = (_sort(prompts), _sort(seeds), tuple(settings))
        return cls(
            metric=metric,
            higher_is_better=higher_is_better,
            prompts=axes[0],
            seeds=axes[1],
            settings=axes[2],
            values=_fill(known, axes, metric=metric),
        )

    def of(self, setting: Hashable) -> Floats:
        """Return the values of one setting: (prompts, seeds).

        Raises:
            UsageError: The panel has no such setting.
        """
        if setting not in self.settings:
            msg = (
                f"a setting must have values of {self.metric}, but {setting} has none; "
                "score its images first, or choose another setting."
            )
            raise UsageError(msg)
        values: Floats = self.values[:, :, self.settings.index(setting)]
        return values


def average_seeds(values: Floats) -> Floats:
    """Average over the seeds that are there.

    Args:
        values: (prompts, seeds) or (prompts, seeds, settings).

    Returns:
        Without the axis of seeds; NaN where a prompt has no value at all.
    """
    there = np.isfinite(values)
    counts = there.sum(axis=1)
    sums = np.where(there, values, 0.0).sum(axis=1)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _sort(labels: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Sort labels of any type, so that results do not depend on the order of rows."""
    numbers_first = {
        label: (0, label, "") if isinstance(label, (int, float)) else (1, 0, str(label))
        for label in labels
    }
    return tuple(sorted(numbers_first, key=numbers_first.__getitem__))


class _Known:
    """Rows that have a value, in a few bytes each.

    Attributes:
        labels: Of each axis, with their numbers in the order of the rows.
        places: The numbers of each row's labels, axis by axis.
        values: Of each row.
    """

    def __init__(self) -> None:
        self.labels: tuple[dict[Hashable, int], ...] = ({}, {}, {})
        self.places = (array("q"), array("q"), array("q"))
        self.values = array("d")

    def take(self, row: Row) -> None:
        *labels, value = row
        if value is None or isnan(value):
            return
        axes = zip(self.labels, self.places, labels, strict=True)
        for numbers, places, label in axes:
            places.append(numbers.setdefault(label, len(numbers)))
        self.values.append(value)

    def at(self, number: int) -> Sequence[object]:
        """Return the labels of a row."""
        axes = zip(self.labels, self.places, strict=True)
        return [[*numbers][places[number]] for numbers, places in axes]


def _fill(
    known: _Known, axes: Sequence[tuple[Hashable, ...]], *, metric: str
) -> Floats:
    values = np.full([len(labels) for labels in axes], np.nan)
    found = np.asarray(known.values)
    if found.size:
        places = np.ravel_multi_index(_sorted(known, axes), values.shape)
        _check(known, places, found, metric=metric)
        values.flat[places] = found
    return values


def _sorted(
    known: _Known, axes: Sequence[tuple[Hashable, ...]]
) -> tuple[NDArray[np.int64], ...]:
    """Return the places of the rows on each axis as it is sorted."""
    found = []
    for numbers, places, labels in zip(known.labels, known.places, axes, strict=True):
        at = {label: place for place, label in enumerate(labels)}
        becomes = np.array([at[label] for label in numbers], dtype=np.int64)
        found.append(becomes[np.asarray(places)])
    return tuple(found)


def _check(
    known: _Known, places: NDArray[np.int64], values: Floats, *, metric: str
) -> None:
    """Refuse the first row whose place another has, or whose value is infinite."""
    _, first = np.unique(places, return_index=True)
    is_wrong = ~np.isfinite(values)
    is_again = np.ones(len(places), dtype=bool)
    is_again[first] = False
    wrong = np.flatnonzero(is_wrong | is_again)
    if wrong.size:
        refuse = _twice if is_again[wrong[0]] else _infinite
        raise refuse(known.at(int(wrong[0])), metric)


def _twice(labels: Sequence[object], metric: str) -> UsageError:
    msg = (
        f"one prompt and seed must have one value of {metric} for each setting, but "
        f"{_place(labels)} has two; narrow the query, or compare by more columns."
    )
    return UsageError(msg)


def _infinite(labels: Sequence[object], metric: str) -> UsageError:
    msg = (
        f"a value of {metric} must be a finite number, but that of {_place(labels)} is "
        "infinite; choose another metric."
    )
    return UsageError(msg)


def _place(labels: Sequence[object]) -> str:
    prompt, seed, setting = labels
    return f"prompt {str(prompt)!r}, seed {seed}, setting {setting}"
