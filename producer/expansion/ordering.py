"""The order in which the jobs of a sweep are made, as the rank of each.

Ranks run from 0 to the number of jobs, as positions do, so sweeps of equal priority
still take turns. They are stored with the jobs, so a claim costs the same in any order.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from producer.expansion.expand import BATCH, Expansion
from producer.expansion.points import GridAxis
from producer.spec.orders import BREADTH_FIRST, CHEAPEST_FIRST, RANDOM
from storage.job import PlannedJob

#: Axes whose values repeat all others: each step takes twice as many of them.
_REPEATED = {"seed", "prompt"}


def ranked_batches(expansion: Expansion) -> Iterator[list[PlannedJob]]:
    """Make the jobs as `Expansion.batches` does, with their ranks.

    For `coarse-first` and `cheapest-first` the sweep is expanded twice.
    """
    jobs = _ranked(expansion)
    while batch := list(itertools.islice(jobs, BATCH)):
        yield batch


def _ranked(expansion: Expansion) -> Iterator[PlannedJob]:
    order = expansion.spec.order
    if order == BREADTH_FIRST:
        yield from expansion.jobs()
    elif order == RANDOM:
        for one in expansion.jobs():
            yield replace(one, rank=_draw(expansion, one))
    elif order == CHEAPEST_FIRST:
        yield from _sorted_by(expansion, _cost)
    else:
        yield from _sorted_by(expansion, _Coarseness(expansion).level)


def _sorted_by(
    expansion: Expansion, key: Callable[[PlannedJob], int]
) -> Iterator[PlannedJob]:
    """Rank the jobs by a key; those of equal key stay in their order."""
    counts = Counter(map(key, expansion.jobs()))
    keys = sorted(counts)
    before = itertools.accumulate((counts[each] for each in keys), initial=0)
    following = dict(zip(keys, before, strict=False))
    for one in expansion.jobs():
        mine = key(one)
        yield replace(one, rank=following[mine])
        following[mine] += 1


def _draw(expansion: Expansion, one: PlannedJob) -> int:
    """Draw a rank from the names of the sweep and of the job: never change how."""
    drawn = hashlib.sha256(f"{expansion.spec.name}\n{one.job.key}".encode()).digest()
    return int.from_bytes(drawn[:8]) * expansion.count >> 64


def _cost(one: PlannedJob) -> int:
    return one.evaluations * one.job.width * one.job.height


class _Coarseness:
    """How early the values of a sweep's axes come, in steps of refinement."""

    def __init__(self, expansion: Expansion) -> None:
        self._levels: dict[str, dict[str, int]] = {}
        for grid in expansion.grids:
            for axis in grid.axes:
                self._levels.setdefault(axis.name, {}).update(_levels_of(axis))

    def level(self, one: PlannedJob) -> int:
        """Return the step with which a job comes: that of its finest value."""
        levels = (self._levels.get(name, {}) for name in one.cell)
        labels = map(_first_label, one.cell.values())
        pairs = zip(levels, labels, strict=True)
        return max((known.get(label, 0) for known, label in pairs), default=0)


def _first_label(labels: Any) -> str:
    return labels if isinstance(labels, str) else str(labels[0])


def _levels_of(axis: GridAxis) -> Mapping[str, int]:
    """Return the step of each value of an axis, by its label.

    Of seeds and prompts, each step has twice as many as the one before. Of numbers,
    the ends and the middle come first, then the middles of what is between. Values of
    other kinds come all at once.
    """
    points = list(axis.points.values())
    if not _REPEATED.isdisjoint(axis.parameters):
        return {each.label: index.bit_length() for index, each in enumerate(points)}
    numbers = [each.sets[axis.parameters[0]] for each in points]
    if len(axis.parameters) > 1 or not all(map(_is_number, numbers)):
        return {}
    order = sorted(range(len(points)), key=lambda index: numbers[index])
    levels = refine(len(points))
    return {points[index].label: levels[n] for n, index in enumerate(order)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def refine(count: int) -> list[int]:
    """Return for each of `count` places in a row with which step it comes.

    Step 0 has both ends and the middle, and each further step the middles of the gaps
    that are left.
    """
    middle = (count - 1) // 2
    levels = [0] * count
    gaps = [(0, middle), (middle, count - 1)]
    for level in itertools.count(1):
        gaps = [(low, high) for low, high in gaps if high - low > 1]
        if not gaps:
            break
        halves = []
        for low, high in gaps:
            between = (low + high) // 2
            levels[between] = level
            halves += [(low, between), (between, high)]
        gaps = halves
    return levels
