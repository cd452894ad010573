"""Which values of an axis people prefer, from votes on two images at a time."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import expit

from analysis.bradley_terry import Comparisons, fit_advantages
from analysis.estimates import LEAST_PROMPTS, Interval
from storage.ratings.voting import Vote

#: What a vote scores for its first image.
_SCORES = {"a": 1.0, "tie": 0.5, "b": 0.0}


class Unit(StrEnum):
    """What counts as one observation; votes within it may depend on each other."""

    PROMPT = "prompts"
    IMAGES = "sets of images"
    """Images that differ in the axis alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How much people like one value of an axis.

    Attributes:
        label: The value.
        preference: Its probability to win against an average one of the others: one
            whose strength is the mean of theirs.
        interval: Of that, at 95 %; None below `LEAST_PROMPTS` units.
        votes: Votes that it was part of.
    """

    label: str
    preference: float
    interval: Interval | None
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Values that were compared with each other, directly or through others.

    Attributes:
        values: The most liked first.
        votes: Votes between them.
        unit: What counts as one observation.
        n_units: How many of these have votes.
    """

    values: tuple[Preference, ...]
    votes: int
    unit: Unit
    n_units: int

    def __str__(self) -> str:
        """Return the values by name."""
        return ", ".join(value.label for value in self.values)


def rank_values(votes: Iterable[Vote]) -> list[Ranking]:
    """Rank the values of an axis by the votes on them.

    Returns:
        One ranking for each group of values with votes between them, the one with the
        most votes first: nothing says how values of two groups compare.
    """
    votes = list(votes)
    groups = _connect(votes)
    number = {label: place for place, labels in enumerate(groups) for label in labels}
    of_group: list[list[Vote]] = [[] for _ in groups]
    for vote in votes:
        of_group[number[vote.a]].append(vote)
    rankings = [
        _rank(sorted(labels), some)
        for labels, some in zip(groups, of_group, strict=True)
    ]
    return sorted(rankings, key=lambda ranking: (-ranking.votes, str(ranking)))


def say_limits(rankings: Sequence[Ranking]) -> list[str]:
    """Return what the numbers do not say, one sentence each."""
    said = []
    if len(rankings) > 1:
        named = "; ".join(map(str, rankings))
        said.append(
            f"No votes connect these groups, so each is ranked by itself: {named}."
        )
    for ranking in rankings:
        of = f" of {ranking}" if len(rankings) > 1 else ""
        if ranking.n_units < LEAST_PROMPTS:
            said.append(
                f"The preferences{of} have no interval: it needs votes on "
                f"{LEAST_PROMPTS} {ranking.unit}, and there are votes on "
                f"{ranking.n_units}."
            )
        elif ranking.unit is Unit.IMAGES:
            said.append(
                f"The intervals{of} are about these prompts only, since fewer than "
                f"{LEAST_PROMPTS} prompts have votes."
            )
    return said


def _connect(votes: Iterable[Vote]) -> list[set[str]]:
    """Return the groups of labels that votes connect."""
    groups: list[set[str]] = []
    for a, b in {(vote.a, vote.b) for vote in votes}:
        joined = [group for group in groups if a in group or b in group]
        groups = [group for group in groups if group not in joined]
        groups.append({a, b}.union(*joined))
    return groups


def _rank(labels: Sequence[str], votes: Sequence[Vote]) -> Ranking:
    number = {label: place for place, label in enumerate(labels)}
    unit, units = _find_units(votes)
    made = Comparisons(
        sides=np.array([(number[vote.a], number[vote.b]) for vote in votes]),
        scores=np.array([_SCORES[vote.winner] for vote in votes]),
        units=np.array(units),
        count=len(labels),
    )
    n_units = len(set(units))
    advantages, widths = fit_advantages(made)
    counts = np.bincount(made.sides.ravel())
    values = [
        Preference(
            label=label,
            preference=float(expit(advantage)),
            interval=_interval(advantage, width) if n_units >= LEAST_PROMPTS else None,
            votes=int(count),
        )
        for label, advantage, width, count in zip(
            labels, advantages, widths, counts, strict=True
        )
    ]
    values.sort(key=lambda value: -value.preference)
    return Ranking(values=tuple(values), votes=len(votes), unit=unit, n_units=n_units)


def _find_units(votes: Sequence[Vote]) -> tuple[Unit, list[int]]:
    """Return the unit, and the number of each vote's: prompts if there are enough."""
    prompts: list[Hashable] = [vote.prompt for vote in votes]
    if None not in prompts and len(set(prompts)) >= LEAST_PROMPTS:
        return Unit.PROMPT, _number(prompts)
    return Unit.IMAGES, _number([vote.block for vote in votes])


def _number(names: Sequence[Hashable]) -> list[int]:
    numbers = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def _interval(advantage: float, width: float) -> Interval:
    low, high = expit([advantage - width, advantage + width])
    return Interval(low=float(low), high=float(high))
