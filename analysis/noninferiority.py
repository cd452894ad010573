"""Whether a setting is as good as another."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from analysis.differences import Difference, pair, subtract
from analysis.estimates import USUAL, Bounds, Procedure
from analysis.intervals import bound
from analysis.margins import Margin, default_margin
from analysis.panel import Panel


class Outcome(StrEnum):
    """What a comparison with a margin has shown."""

    EQUAL = "equal"
    """No pair differs; of other prompts that says nothing."""
    AS_GOOD = "as_good"
    """No worse than the reference by more than the margin."""
    WORSE = "worse"
    """Worse than the reference by more than the margin."""
    NOT_DECIDED = "not_decided"
    """Neither; more prompts may decide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A setting against a reference with a margin, by one-sided bounds.

    Attributes:
        difference: The paired difference with its two-sided interval.
        bounds: Of the gain: positive where the setting is better.
        margin: What was allowed; None if none was given and seeds do not say.
        outcome: What was shown.
    """

    difference: Difference
    bounds: Bounds
    margin: Margin | None
    outcome: Outcome


def compare(
    panel: Panel,
    setting: Hashable,
    *,
    reference: Hashable,
    margin: Margin | None = None,
    procedure: Procedure = USUAL,
) -> Comparison:
    """Ask whether a setting is no worse than a reference by more than a margin.

    A non-inferiority test: the lower bound of the gain must lie above minus the margin.
    "As good" and "worse" each have a one-sided bound, so each is wrong in at most one
    case in twenty at the usual level. Where too few prompts differ for bounds, all
    prompts must agree.

    Args:
        panel: Values of both.
        setting: What may be as good.
        reference: What it is held against.
        margin: The loss that counts as none; by default `default_margin`.
        procedure: Level of the interval and of each bound, method and seed.

    Raises:
        UsageError: The panel lacks one of them.
    """
    margin = margin or default_margin(panel, reference)
    difference = subtract(panel, setting, reference=reference, procedure=procedure)
    by_prompt = pair(panel, setting, reference=reference).by_prompt
    gains = by_prompt if panel.higher_is_better else -by_prompt
    bounds = bound(gains, procedure)
    return Comparison(
        difference=difference,
        bounds=bounds,
        margin=margin,
        outcome=_decide(difference, bounds, margin),
    )


def _decide(difference: Difference, bounds: Bounds, margin: Margin | None) -> Outcome:
    if bounds.low is None or bounds.high is None:
        return Outcome.NOT_DECIDED
    if difference.n_equal == difference.n_pairs:
        return Outcome.EQUAL
    if margin is None:
        return Outcome.NOT_DECIDED
    if bounds.low > -margin.value:
        return Outcome.AS_GOOD
    return Outcome.WORSE if bounds.high < -margin.value else Outcome.NOT_DECIDED
