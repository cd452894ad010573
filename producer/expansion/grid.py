"""The grid of one model: axes with resolved values, what is left out, what is added.

In each grid, an axis that sets the model has only its values for that model.

A grid is never written out: its cells are the product of its axes, and what
`exclude` leaves out is kept as a set of values for each of some axes.
`producer.expansion.cells` walks it.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from producer.expansion.equivalents import Meanings
from producer.expansion.exclusions import ExcludeReader, Exclusion, Exclusions
from producer.expansion.points import (
    GridAxis,
    Point,
    axis_of,
    make_point,
    resolve_axis,
    setter_of,
)
from producer.expansion.products import Block
from producer.expansion.resolution import (
    OF_SCHEDULER,
    SETTLED,
    defaults,
    resolve,
    resolve_each,
    token_of,
)
from producer.models.cards import ModelCard
from producer.spec.axes import Axis, Value
from producer.spec.conditions import Condition, ConditionEntry
from producer.spec.problems import Place
from producer.spec.sweepfile import Spec
from storage.errors import UsageError


class Grid:
    """The cells of one model.

    Attributes:
        card: The model.
        place: Where the model was named first.
        axes: In the order in which they are shown.
        calls: Inputs that only some pipelines have, and that the sweep names.
        blocks: The product of all axes, unless only `include` asks for this model;
            then what `include` adds.
        excluded: What each entry of `exclude` leaves out; nothing where it can match
            nothing.
        exclusions: All of `excluded`, and what else is left out.
    """

    def __init__(
        self, spec: Spec, card: ModelCard, named: Sequence[Value], *, is_main: bool
    ) -> None:
        """Resolve the axes of `spec` for one model.

        Args:
            spec: The sweep.
            card: The model.
            named: The values that name it, each with what else it sets; at least one.
            is_main: Whether the axes ask for it, not only `include`.
        """
        self.card = card
        self.place = named[0].place
        self._most = spec.max_jobs
        choice = {**spec.base, **named[0].sets}["model"]
        self._given = {**spec.base, "model": choice}
        self.calls = spec.calls
        own = defaults(card, self.calls)
        self._base = resolve({**own, **self._given}, card)
        self.axes = tuple(
            resolve_axis(axis, _values_of(axis, named), base=self._base, card=card)
            for axis in spec.axes
        )
        self._loose = [name for name in self._base if self._setter_of(name) is None]
        reader = ExcludeReader(self.axes, self._base, card)
        self.excluded = tuple(tuple(reader.read(entry)) for entry in spec.exclude)
        self.exclusions = self._exclusions(())
        whole = tuple(axis.points for axis in self.axes)
        self.blocks = [self._block({}, whole, is_extra=False)] if is_main else []
        self._main = len(self.blocks)

    @cached_property
    def meanings(self) -> Meanings:
        """Which cells mean the same; for use after the last `include`."""
        return Meanings(
            self.axes, self.blocks, card=self.card, exclusions=self.exclusions
        )

    def axis_of(self, key: str) -> int | None:
        """Return the index of the axis named `key`, else of the axis that sets it."""
        return axis_of(self.axes, key)

    def sets(self, parameter: str) -> bool:
        """Return whether the sweep sets a parameter."""
        return parameter in self._given or self._setter_of(parameter) is not None

    def leave_out(self, exclusions: Iterable[Exclusion]) -> None:
        """Leave out more than `exclude` does; for use before the cells are walked."""
        self.exclusions = self._exclusions(exclusions)

    def include(self, entry: ConditionEntry, model: Value) -> None:
        """Add what an entry of `include` names, for one of its models.

        Each combination of its values becomes a block. The block has all prompts and
        seeds that the axes name, if the entry names none.

        Args:
            entry: The entry.
            model: The value that names the model.

        Raises:
            UsageError: With those added before, there are too many combinations.
        """
        options = [
            list(self._options(condition))
            for condition in entry.conditions
            if not self._names_model(condition)
        ]
        count = math.prod(map(len, options)) + len(self.blocks) - self._main
        if count > self._most:
            msg = (
                f"include must name at most {self._most} combinations for a model "
                f"(limits.max_jobs), got {count} with this entry; name fewer values or "
                "raise the limit"
            )
            raise UsageError(msg)
        for chosen in itertools.product([self._sets_of(model)], *options):
            settings = {key: value for each in chosen for key, value in each.items()}
            loose = {key: settings[key] for key in settings if key in self._loose}
            points = tuple(
                self._included(axis, settings, entry.place) for axis in self.axes
            )
            self.blocks.append(self._block(loose, points, is_extra=True))

    def _exclusions(self, others: Iterable[Exclusion]) -> Exclusions:
        sizes = [len(axis.points) for axis in self.axes]
        return Exclusions([*itertools.chain(*self.excluded), *others], sizes)

    def _setter_of(self, parameter: str) -> int | None:
        return setter_of(self.axes, parameter)

    def _sets_of(self, model: Value) -> Mapping[str, Any]:
        """Return all parameters that the axis of models sets for one of its values."""
        index = self._setter_of("model")
        if index is None:
            return {}
        axis = self.axes[index]
        return make_point(
            axis.name, axis.parameters, model, base=self._base, card=self.card
        ).sets

    def _names_model(self, condition: Condition) -> bool:
        axis = self._setter_of("model")
        is_axis = axis is not None and condition.key == self.axes[axis].name
        return is_axis or condition.key == "model"

    def _block(
        self,
        loose: Mapping[str, Any],
        points: tuple[Mapping[Any, Point], ...],
        *,
        is_extra: bool,
    ) -> Block:
        base = {**self._base, **loose}
        compared = SETTLED | OF_SCHEDULER
        token = tuple(
            token_of(base[name]) for name in self._loose if name not in compared
        )
        return Block(base=base, base_token=token, points=points, is_extra=is_extra)

    def _options(self, condition: Condition) -> Iterator[Mapping[str, Any]]:
        """Yield the settings that a condition of `include` names, one at a time."""
        index = self.axis_of(condition.key)
        if index is not None:
            axis = self.axes[index]
            for label in condition.labels:
                yield axis.points[axis.labels[label]].sets
        yield from resolve_each(condition.key, condition.values, self.card)

    def _included(
        self, axis: GridAxis, settings: Mapping[str, Any], place: Place
    ) -> Mapping[Any, Point]:
        """Return the points of an axis that an entry of `include` stands for."""
        own = {name: settings[name] for name in axis.parameters if name in settings}
        if not own and not {"seed", "prompt"}.isdisjoint(axis.parameters):
            return axis.points
        is_given = all(name in self._given for name in axis.parameters)
        first = next(iter(axis.points.values()))
        fill = self._base if is_given else first.sets
        sets = {name: own.get(name, fill[name]) for name in axis.parameters}
        point = make_point(
            axis.name, axis.parameters, Value(sets, place), base=sets, card=self.card
        )
        return {point.token: axis.points.get(point.token, point)}


def _values_of(axis: Axis, named: Sequence[Value]) -> Collection[Value]:
    """Return the values of an axis for one model: all, or those that name the model."""
    return named if "model" in axis.parameters else axis.values
