"""The points of an axis for one model: values made complete, each meaning once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.expansion.resolution import (
    TEXTS,
    resolve,
    token_of,
)
from producer.expansion.scheduler_planning import (
    PlannedScheduler,
    plan_scheduler,
    spell_out,
)
from producer.models.cards import ModelCard
from producer.spec.axes import Axis, RangeValues, Value, is_set
from producer.spec.parameters import (
    PARAMETERS,
    UNSET,
    WEIGHTS,
    SchedulerChoice,
    shown_as,
)
from producer.spec.problems import Place, shown
from producer.spec.remarks import Remark
from storage.catalogue.caches import label_of_cache
from storage.catalogue.scheduler_copies import why_same

#: Parameters whose values mean something different for each model.
_RESOLVED = TEXTS | {"scheduler", "schedule", "quantize", *WEIGHTS}


@dataclass(frozen=True, slots=True)
class Point:
    """One value of an axis, complete: it sets all of the axis' parameters.

    Attributes:
        sets: Parameter to resolved value.
        token: Equal for points of the axis that give the same jobs.
        label: What grids and tables show.
        place: Where it was written.
    """

    sets: Mapping[str, Any]
    token: Any
    label: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class GridAxis:
    """An axis for one model.

    Attributes:
        name: The axis.
        parameters: What each of its points sets.
        points: By token, in the order in which they are shown.
        labels: The sweep's own label of a value to its point's token.
        duplicates: Each names two values that give the same jobs.
        notes: Sentences about what a word such as `all` leaves out.
    """

    name: str
    parameters: tuple[str, ...]
    points: Mapping[Any, Point]
    labels: Mapping[str, Any]
    duplicates: tuple[Remark, ...]
    notes: tuple[str, ...] = ()


class RangePoints(Mapping[int, Point]):
    """The points of a range of whole numbers, each made on demand."""

    def __init__(self, values: RangeValues) -> None:
        """Take the values; each is its own token."""
        self._values = values

    def __len__(self) -> int:
        """Count the points."""
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        """Return the tokens, in the order in which they are shown."""
        return iter(self._values.numbers)

    def __getitem__(self, token: int) -> Point:
        """Make the point of a token.

        Raises:
            KeyError: It is not in the range.
        """
        if token not in self._values.numbers:
            raise KeyError(token)
        sets = {self._values.name: token}
        return Point(sets, token, shown_as(token), self._values.place)


def resolve_axis(
    axis: Axis, values: Collection[Value], *, base: Mapping[str, Any], card: ModelCard
) -> GridAxis:
    """Make the points of an axis; keep the first of values that mean the same.

    Args:
        axis: The axis.
        values: The values of the axis for this model.
        base: Every parameter, resolved, for what a value leaves open.
        card: The model.
    """
    points: dict[Any, Point] = {}
    labels: dict[str, Any] = {}
    firsts: dict[Any, Value] = {}
    duplicates: list[Remark] = []
    if isinstance(values, RangeValues):
        return GridAxis(
            name=axis.name,
            parameters=axis.parameters,
            points=RangePoints(values),
            labels=labels,
            duplicates=(),
        )
    notes: list[str] = []
    for value in _spelt_out(values, card, notes):
        point = make_point(axis.name, axis.parameters, value, base=base, card=card)
        points.setdefault(point.token, point)
        first = firsts.setdefault(point.token, value)
        if first is not value:
            duplicates.append(_duplicate(axis.name, first, value, card=card))
        if value.label is not None:
            labels[value.label] = point.token
    return GridAxis(
        name=axis.name,
        parameters=axis.parameters,
        points=points,
        labels=labels,
        duplicates=tuple(duplicates),
        notes=tuple(notes),
    )


def setter_of(axes: Sequence[GridAxis], parameter: str) -> int | None:
    """Return the index of the axis that sets a parameter; None where none does."""
    setting = (i for i, axis in enumerate(axes) if parameter in axis.parameters)
    return next(setting, None)


def axis_of(axes: Sequence[GridAxis], key: str) -> int | None:
    """Return the index of the axis named `key`, else of the axis that sets it."""
    names = [axis.name for axis in axes]
    return names.index(key) if key in names else setter_of(axes, key)


def make_point(
    name: str,
    parameters: tuple[str, ...],
    value: Value,
    *,
    base: Mapping[str, Any],
    card: ModelCard,
) -> Point:
    """Make a point that sets all of an axis' parameters.

    Args:
        name: The axis.
        parameters: What its points set.
        value: What sets some of them.
        base: Every parameter, resolved, for what `value` leaves open.
        card: The model.
    """
    sets: Mapping[str, Any] = value.sets
    if len(parameters) > 1 or not _RESOLVED.isdisjoint(sets) or UNSET in sets.values():
        sets = resolve(
            {name: value.sets.get(name, base[name]) for name in parameters}, card
        )
    # All models of one grid are copies of one model.
    tokens = tuple(
        card.model.fingerprint if parameter == "model" else token_of(sets[parameter])
        for parameter in parameters
    )
    return Point(
        sets=sets,
        token=tokens if len(tokens) > 1 else tokens[0],
        label=value.label or _label(name, [*value.sets], sets),
        place=value.place,
    )


def _duplicate(axis: str, first: Value, second: Value, *, card: ModelCard) -> Remark:
    values = f"{_written(axis, first)} and {_written(axis, second)}"
    places = f"({first.place}, {second.place})"
    why = _why(first, second, card=card)
    return Remark(
        sentence=f"{axis}: {values} give the same jobs{why} {places}",
        kind=f"{axis}: two values give the same jobs{why}",
        case=f"{values} {places}",
    )


def _spelt_out(
    values: Collection[Value], card: ModelCard, notes: list[str]
) -> Iterator[Value]:
    """Yield the values; for a word such as `all`, schedulers not on the axis yet."""
    choices = [value.sets.get("scheduler") for value in values]
    if not any(map(is_set, choices)):
        yield from values
        return
    given = {
        resolve({"scheduler": choice}, card)["scheduler"].token
        for choice in choices
        if choice is not None and not is_set(choice)
    }
    for value, choice in zip(values, choices, strict=True):
        if choice is None or not is_set(choice):
            yield value
            continue
        several, note = spell_out(choice, card)
        notes += [note] if note else []
        tokens = [plan_scheduler(each, card).token for each in several]
        for each, token in zip(several, tokens, strict=True):
            if token not in given:
                yield Value({"scheduler": each}, value.place)
        given.update(tokens)


def _label(name: str, given: Iterable[str], sets: Mapping[str, Any]) -> str:
    if name == "cache" and sets[name]:
        return label_of_cache(sets[name])
    if name in PARAMETERS:
        return _shown(sets[name])
    return ", ".join(f"{each}={_shown(sets[each])}" for each in given)


def _shown(value: object) -> str:
    return value.name if isinstance(value, PlannedScheduler) else shown_as(value)


def _why(first: Value, second: Value, *, card: ModelCard) -> str:
    """Say why two values with schedulers are the same; nothing for other values."""
    choices = [value.sets.get("scheduler") for value in (first, second)]
    named = [each for each in choices if isinstance(each, SchedulerChoice)]
    if len(named) < 2 or named[0].written == named[1].written:
        return ""
    one, other = (plan_scheduler(choice, card) for choice in named)
    if one.problems:
        return ""
    return f", {why_same(one.asked, other.asked, config=one.config)}"


def _written(name: str, value: Value) -> str:
    """Return a value as it stands in the sweep."""
    if value.label:
        return shown(value.label)
    words = {each: _word(given) for each, given in value.sets.items()}
    if list(words) == [name]:
        return words[name]
    return shown(", ".join(f"{each}={word}" for each, word in words.items()))


def _word(given: object) -> str:
    if given is UNSET:
        return "null"
    if isinstance(given, SchedulerChoice):
        return shown(given.label or given.written)
    text = shown_as(given)
    return shown(text) if text else '""'
