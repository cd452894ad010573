"""What `exclude` leaves out of a grid: combinations of points of some axes."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from producer.expansion.points import GridAxis, axis_of, setter_of
from producer.expansion.resolution import resolve_each, token_of
from producer.models.cards import ModelCard
from producer.spec.conditions import Condition, ConditionEntry

#: By the index of an axis, the tokens of its points that an exclusion names.
Exclusion = Mapping[int, frozenset[Any]]


class Exclusions:
    """All exclusions of a grid, found by the tokens of a cell.

    There may be a hundred thousand exclusions and as many cells, so no cell is compared
    with all exclusions: each is filed under tokens that every cell it matches must
    have.

    Attributes:
        axes: Indices of the axes that any exclusion names.
        is_empty: Whether there are no exclusions.
    """

    def __init__(self, exclusions: Collection[Exclusion], sizes: Sequence[int]) -> None:
        """File the exclusions.

        Args:
            exclusions: Each names at least one token of each of its axes.
            sizes: For each axis, how many points it has.
        """
        self.axes = frozenset(index for each in exclusions for index in each)
        self.is_empty = not exclusions
        self._sizes = sizes
        #: By axes, then by their tokens: what exclusions say of the other axes.
        self._filed: dict[tuple[int, ...], dict[tuple[Any, ...], list[Exclusion]]] = {}
        for each in exclusions:
            self._file(each)

    def match(self, tokens: Mapping[int, Any]) -> bool:
        """Return whether any exclusion matches points of some of the axes.

        Args:
            tokens: By the index of an axis, the token of its point.
        """
        for axes, filed in self._filed.items():
            if not all(axis in tokens for axis in axes):
                continue
            for others in filed.get(tuple(tokens[axis] for axis in axes), ()):
                if all(
                    axis in tokens and tokens[axis] in named
                    for axis, named in others.items()
                ):
                    return True
        return False

    def _file(self, exclusion: Exclusion) -> None:
        """File an exclusion under the axes where it names one token.

        It is also filed under each token of the axis of which it names the smallest
        share, such as 50 of 10,000 seeds.
        """
        axes = {axis for axis, named in exclusion.items() if len(named) == 1}
        if exclusion:
            axes.add(min(exclusion, key=lambda i: len(exclusion[i]) / self._sizes[i]))
        others = {axis: exclusion[axis] for axis in exclusion if axis not in axes}
        key = tuple(sorted(axes))
        filed = self._filed.setdefault(key, {})
        for tokens in itertools.product(*(exclusion[axis] for axis in key)):
            filed.setdefault(tokens, []).append(others)


class ExcludeReader:
    """Reads entries of `exclude` for one model."""

    def __init__(
        self, axes: Sequence[GridAxis], base: Mapping[str, Any], card: ModelCard
    ) -> None:
        """Take the axes and, for parameters that no axis sets, the base."""
        self._axes = axes
        self._base = base
        self._card = card
        self._scheduler = setter_of(axes, "scheduler")
        self._by_value: dict[tuple[int, str], dict[Any, set[Any]]] = {}

    def read(self, entry: ConditionEntry) -> Iterator[Exclusion]:
        """Yield the exclusions of an entry: one for each eta that schedulers have."""
        for own_eta, named in self._own_etas(entry):
            exclusion = self._match(entry, own_eta)
            if exclusion is None:
                continue
            if self._scheduler is not None and named is not None:
                known = exclusion.get(self._scheduler, named)
                exclusion[self._scheduler] = known & named
            if all(exclusion.values()):
                yield exclusion

    def _own_etas(
        self, entry: ConditionEntry
    ) -> Iterable[tuple[float, frozenset[Any] | None]]:
        """Return each eta that a null can mean, and the tokens of its schedulers.

        None instead of tokens stands for all schedulers.
        """
        index = self._scheduler
        if index is None or all(each.key != "eta" for each in entry.conditions):
            return [(self._base["scheduler"].own_eta, None)]
        named: dict[float, set[Any]] = {}
        for point in self._axes[index].points.values():
            named.setdefault(point.sets["scheduler"].own_eta, set()).add(point.token)
        if len(named) == 1:
            return [(own_eta, None) for own_eta in named]
        return [(own_eta, frozenset(tokens)) for own_eta, tokens in named.items()]

    def _match(
        self, entry: ConditionEntry, own_eta: float
    ) -> dict[int, frozenset[Any]] | None:
        """Return the points that an entry names; None where the base does not match."""
        exclusion: dict[int, frozenset[Any]] = {}
        for condition in entry.conditions:
            key = condition.key
            sets = resolve_each(key, condition.values, self._card)
            wanted = {token_of(each[key]) for each in sets}
            if key == "eta" and not wanted.isdisjoint((None, own_eta)):
                wanted |= {None, own_eta}
            index = axis_of(self._axes, key)
            if index is None:
                if token_of(self._base[key]) not in wanted:
                    return None
                continue
            named = self._matching(index, condition, wanted)
            exclusion[index] = exclusion.get(index, named) & named
        return exclusion

    def _matching(
        self, index: int, condition: Condition, wanted: set[Any]
    ) -> frozenset[Any]:
        axis = self._axes[index]
        by_label = {
            axis.labels[each] for each in condition.labels if each in axis.labels
        }
        if axis.parameters == (condition.key,) and condition.key != "model":
            # A point's token is that of its value: a million points are not looked at.
            by_value = {each for each in wanted if each in axis.points}
        else:
            known = self._values(index, condition.key) if wanted else {}
            by_value = set().union(*(known.get(each, ()) for each in wanted))
        return frozenset(by_label | by_value)

    def _values(self, index: int, parameter: str) -> Mapping[Any, set[Any]]:
        """Return the tokens of an axis' points by what they set a parameter to."""
        if (index, parameter) not in self._by_value:
            known: dict[Any, set[Any]] = {}
            for point in self._axes[index].points.values():
                value = token_of(point.sets[parameter])
                known.setdefault(value, set()).add(point.token)
            self._by_value[index, parameter] = known
        return self._by_value[index, parameter]
