"""Whether a setting is as good as another."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from analysis.differences import Difference, subtract
from analysis.estimates import USUAL, Interval, Procedure
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
    """A setting against a reference with a margin.

    Attributes:
        difference: The paired difference with its interval.
        margin: What was allowed; None if none was given and seeds do not say.
        outcome: What was shown.
    """

    difference: Difference
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

    A non-inferiority test: the setting is as good if its interval ends before a loss of
    the margin, and worse if the whole interval lies beyond. Where too few prompts
    differ for an interval, all prompts must agree.

    Args:
        panel: Values of both.
        setting: What may be as good.
        reference: What it is held against.
        margin: The loss that counts as none; by default `default_margin`.
        procedure: Level, method and seed of the interval.

    Raises:
        UsageError: The panel lacks one of them.
    """
    margin = margin or default_margin(panel, reference)
    difference = subtract(panel, setting, reference=reference, procedure=procedure)
    return Comparison(
        difference=difference, margin=margin, outcome=_decide(difference, margin)
    )


def decide(gain: Interval | None, allowed: float | None) -> Outcome:
    """Return what the bounds of a gain show.

    Args:
        gain: Positive where the setting is better; None with too few prompts.
        allowed: The loss that counts as none; with 0, only a setting that loses nothing
            is as good. None where it is not known.
    """
    if gain is None or allowed is None:
        return Outcome.NOT_DECIDED
    if gain.low > -allowed or gain.low >= 0:
        return Outcome.AS_GOOD
    return Outcome.WORSE if gain.high < -allowed else Outcome.NOT_DECIDED


def _decide(difference: Difference, margin: Margin | None) -> Outcome:
    has_gain = difference.gain is not None
    if has_gain and difference.n_equal == difference.n_pairs:
        return Outcome.EQUAL
    return decide(difference.gain, margin.value if margin else None)
