"""How often the statistics are right on sweeps whose truth is known."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.bands import band_differences
from analysis.differences import pair, subtract, subtract_all
from analysis.estimates import Interval, Method, Procedure
from analysis.front import find_front
from analysis.margins import MARGIN_SHARE, given_margin
from analysis.noninferiority import Outcome, compare
from analysis.panel import Panel
from analysis.preferences import rank_values
from analysis.resampling import RESAMPLES, draw_weights
from analysis.step_limit import DELTA, find_step_limit
from tests.simulated_sweeps import (
    DISTANCES,
    IMAGE,
    RIGHT_DEVIATION,
    SWEEPS,
    UNIT,
    draw_distances,
    draw_units,
)
from tests.simulated_votes import VOTINGS

#: The margin, and the true loss against it, where an error is most likely.
MARGIN = 0.1
#: Settings against a reference, and named pairs.
CURVE, PAIRS = 8, 4
#: Mean distances that fall with steps, and reach delta exactly at 20: naming 20 or less
#: is too early, and nowhere is that more likely.
FALLING = {steps: DELTA * (20 / steps) ** 1.5 for steps in (100, 40, 20, 10)}
AT_DELTA = 20
#: Shares of resamples in which a setting is on the front.
FRONT_SHARES = {"above 95 %": (0.95, 1.0), "below 5 %": (0.0, 0.05)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something happened.

    Attributes:
        hits: Draws in which it did.
        draws: Those that had an answer.
    """

    hits: int
    draws: int

    @property
    def share(self) -> float:
        """Return the share of draws."""
        return self.hits / self.draws

    def slack(self, expected: float) -> float:
        """Return how far the share may be off: its binomial bound plus a point."""
        return 1.96 * (expected * (1 - expected) / self.draws) ** 0.5 + 0.01

    def is_near(self, expected: float) -> bool:
        """Whether the share may well be that, to a point."""
        return abs(self.share - expected) <= self.slack(expected)

    def is_at_most(self, expected: float) -> bool:
        """Whether the share may well be that or less, to a point."""
        return self.share <= expected + self.slack(expected)


def cover_difference(shape: str, prompts: int, *, draws: int, method: Method) -> Rate:
    """Count the draws whose interval holds the true difference."""
    procedure = Procedure(method=method)

    def has_truth(panel: Panel) -> bool | None:
        found = subtract(panel, 1, reference=0, procedure=procedure).estimate
        return _holds(found.interval, -MARGIN)

    return _count(has_truth, _draw(shape, [0.0, -MARGIN], prompts, draws=draws))


def cover_by_percentiles(shape: str, prompts: int, *, draws: int) -> Rate:
    """Count the draws whose plain bootstrap holds the true difference."""

    def has_truth(panel: Panel) -> bool:
        by_prompt = pair(panel, 1, reference=0).by_prompt
        (weights,) = draw_weights(prompts, RESAMPLES, seed=0)
        low, high = np.quantile(weights @ by_prompt / prompts, [0.025, 0.975])
        return bool(low <= -MARGIN <= high)

    return _count(has_truth, _draw(shape, [0.0, -MARGIN], prompts, draws=draws))


def err_at_margin(
    shape: str, prompts: int, *, draws: int, method: Method
) -> dict[Outcome, Rate]:
    """Count what is claimed of a loss of just the margin; either claim is an error."""
    procedure, margin = Procedure(method=method), given_margin(MARGIN)
    claims = Counter(
        compare(panel, 1, reference=0, margin=margin, procedure=procedure).outcome
        for panel in _draw(shape, [0.0, -MARGIN], prompts, draws=draws)
    )
    return {one: Rate(hits=claims[one], draws=draws) for one in Outcome}


def err_at_default_margin(shape: str, prompts: int, *, draws: int) -> Rate:
    """Count the draws that call a loss of just the default margin as good."""

    def is_claimed(panel: Panel) -> bool:
        return compare(panel, 1, reference=0).outcome is Outcome.AS_GOOD

    deviation = RIGHT_DEVIATION if shape == "right or wrong" else IMAGE
    gains = [0.0, -MARGIN_SHARE * deviation]
    return _count(is_claimed, _draw(shape, gains, prompts, draws=draws))


def cover_curve(shape: str, prompts: int, *, draws: int) -> Rate:
    """Count the draws whose whole band holds the truth."""
    gains = -np.linspace(0, 0.3, CURVE + 1)

    def has_truth(panel: Panel) -> bool:
        members = band_differences(panel, reference=0).members
        return all(
            _holds(one.interval, gain) is not False
            for one, gain in zip(members, gains[1:], strict=True)
        )

    return _count(has_truth, _draw(shape, gains, prompts, draws=draws))


def reject_equal_pairs(shape: str, prompts: int, *, draws: int, method: Method) -> Rate:
    """Count the draws that tell any of several pairs apart, though none differs."""
    pairs = [(setting, 0) for setting in range(1, PAIRS + 1)]
    procedure = Procedure(method=method)

    def is_rejected(panel: Panel) -> bool:
        found = subtract_all(panel, pairs, procedure=procedure)
        known = (one.adjusted_p_value for one in found)
        return any(p_value is not None and p_value < 0.05 for p_value in known)

    gains = [0.0] * (PAIRS + 1)
    return _count(is_rejected, _draw(shape, gains, prompts, draws=draws))


def name_limit_too_early(
    shape: str, prompts: int, *, draws: int, method: Method, pairs: int | None = None
) -> Rate:
    """Count the draws that name a number of steps that is not at the limit.

    Args:
        shape: Of the distances, a name in `DISTANCES`.
        prompts: How many.
        draws: How many.
        method: Of the intervals.
        pairs: Pairs of seeds that the unit is measured by; None for the true unit.
    """
    procedure = Procedure(method=method)
    of_units = np.random.default_rng(prompts + 1)

    def is_too_early(panel: Panel) -> bool:
        true = dict.fromkeys(panel.prompts, UNIT)
        found = find_step_limit(
            panel,
            draw_units(of_units, panel, pairs=pairs) if pairs else true,
            reference=200,
            draws_noise=False,
            procedure=procedure,
        )
        return found.steps is not None and found.steps <= AT_DELTA

    generator = np.random.default_rng(prompts)
    panels = (
        draw_distances(generator, FALLING, prompts=prompts, spread=DISTANCES[shape])
        for _ in range(draws)
    )
    return _count(is_too_early, panels)


def judge_front(shape: str, prompts: int, *, draws: int) -> dict[str, Rate]:
    """Count how often settings are truly on the front, by their share of resamples.

    The truth is another one in each draw: a curve that flattens, and noise.
    """
    generator = np.random.default_rng(prompts)
    costs = {setting: float(setting) for setting in range(CURVE)}
    seen: dict[str, list[bool]] = {name: [] for name in FRONT_SHARES}
    for _ in range(draws):
        gains = -np.exp(-np.arange(CURVE) / 2) + generator.normal(0, 0.15, CURVE)
        gains -= gains.max()
        panel = SWEEPS[shape](generator, gains, prompts)
        best = np.maximum.accumulate(gains)
        # The cheapest setting is always on the front.
        for one in find_front(panel, costs).members[1:]:
            truly = bool(gains[one.setting] == best[one.setting])
            for name, (least, most) in FRONT_SHARES.items():
                if one.share is not None and least <= one.share <= most:
                    seen[name].append(truly)
    return {name: _rate(truths) for name, truths in seen.items()}


def miss_preference(
    voting: str, prompts: int, votes: int, *, draws: int, is_by_vote: bool = False
) -> Rate:
    """Count how often the interval of a preference misses the truth.

    Args:
        voting: How people vote, a name in `VOTINGS`.
        prompts: How many.
        votes: Votes on each prompt.
        draws: How many.
        is_by_vote: Whether each vote is taken for one about a prompt of its own.
    """
    generator = np.random.default_rng(prompts)
    true = VOTINGS[voting].true_preferences()
    missed = count = 0
    for _ in range(draws):
        drawn = VOTINGS[voting].draw(generator, prompts=prompts, votes=votes)
        if is_by_vote:
            drawn = [replace(one, prompt=place) for place, one in enumerate(drawn)]
        for ranking in rank_values(drawn):
            for value in ranking.values:
                missed += _holds(value.interval, true[value.label]) is False
                count += value.interval is not None
    return Rate(hits=round(missed / count * draws), draws=draws)


def _draw(
    shape: str, gains: Sequence[float], prompts: int, *, draws: int
) -> Iterator[Panel]:
    generator = np.random.default_rng(prompts)
    return (SWEEPS[shape](generator, gains, prompts) for _ in range(draws))


def _holds(interval: Interval | None, value: float) -> bool | None:
    return None if interval is None else bool(interval.low <= value <= interval.high)


def _count(is_hit: Callable[[Panel], bool | None], panels: Iterable[Panel]) -> Rate:
    return _rate([hit for panel in panels if (hit := is_hit(panel)) is not None])


def _rate(hits: Sequence[bool]) -> Rate:
    return Rate(hits=sum(hits), draws=len(hits))
