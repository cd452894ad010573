"""Values of one metric, laid out by prompt, seed and setting."""

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
_Known = tuple[Hashable, Hashable, Hashable, float]


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
        known = [
            (prompt, seed, setting, value)
            for prompt, seed, setting, value in rows
            if value is not None and not isnan(value)
        ]
        prompts = _sort(row[0] for row in known)
        seeds = _sort(row[1] for row in known)
        settings = tuple(dict.fromkeys(row[2] for row in known))
        return cls(
            metric=metric,
            higher_is_better=higher_is_better,
            prompts=prompts,
            seeds=seeds,
            settings=settings,
            values=_fill(known, (prompts, seeds, settings), metric=metric),
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


def _fill(
    rows: Sequence[_Known], axes: Sequence[tuple[Hashable, ...]], *, metric: str
) -> Floats:
    places = [{label: at for at, label in enumerate(labels)} for labels in axes]
    values = np.full([len(labels) for labels in axes], np.nan)
    for *labels, value in rows:
        place = tuple(at[label] for at, label in zip(places, labels, strict=True))
        if not np.isnan(values[place]):
            raise _twice(labels, metric)
        if not np.isfinite(value):
            raise _infinite(labels, metric)
        values[place] = value
    return values


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
