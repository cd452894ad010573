"""Means over prompts, how sure they are, and why some have no interval.

The unit is the prompt. Seeds of a prompt are averaged first, since their images share
what makes the prompt easy or hard. So inference is over prompts, for the given seeds.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from analysis.panel import Floats

#: With fewer prompts there is no interval: none of the methods keeps its level there.
LEAST_PROMPTS = 10
#: Prompts that must have another value than the most common one. With fewer, more than
#: one resample in a thousand (e ** -7) would have no spread, and Student's interval
#: would rest on a handful of prompts.
LEAST_DIFFERENT = 7
#: Student's t, or the t statistic's distribution over resamples.
Method = Literal["t", "bootstrap-t"]


class Reason(StrEnum):
    """Why there is no interval."""

    FEW_PROMPTS = "few_prompts"
    """Fewer than `LEAST_PROMPTS` prompts have a value."""
    FEW_DIFFERENT = "few_different"
    """Fewer than `LEAST_DIFFERENT` prompts have another value than most have."""
    NO_SPREAD = "no_spread"
    """All prompts have the same value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """How sure an answer must be, and how that is computed.

    Attributes:
        level: Coverage of an interval.
        method: `t` is Student's, which needs no resampling.
        seed: Seed of the resampling.
    """

    level: float = 0.95
    method: Method = "bootstrap-t"
    seed: int = 0


#: What all questions use unless they are told otherwise.
USUAL = Procedure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A range of values, ends included, in the metric's own unit."""

    low: float
    high: float

    def negate(self) -> "Interval":
        """Return the interval of the negated values."""
        return Interval(low=-self.high, high=-self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one number per prompt comes to.

    Attributes:
        mean: Mean over prompts; NaN without any.
        sd: Standard deviation over prompts; NaN with fewer than two.
        n_prompts: Prompts with a value.
        n_alike: Prompts with the most common value.
        reason: Why no interval can be given; None if one can.
    """

    mean: float
    sd: float
    n_prompts: int
    n_alike: int
    reason: Reason | None

    @property
    def standard_error(self) -> float:
        """Return the standard error of the mean."""
        return self.sd / self.n_prompts**0.5 if self.n_prompts else np.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over prompts with its interval.

    Attributes:
        summary: The mean and what it rests on.
        interval: Two-sided; None for `summary.reason`.
        bounds: What claims are decided by: the interval, or where too few prompts
            differ for one, the least and the largest value of a prompt. None with too
            few prompts.
        p_value: Of a mean of zero, two-sided; None where there is no interval.
        procedure: How the interval was computed.
    """

    summary: Summary
    interval: Interval | None
    bounds: Interval | None
    p_value: float | None
    procedure: Procedure


def summarize(values: Floats) -> Summary:
    """Sum up one value per prompt: (prompts,), NaN where a prompt has none."""
    known = values[np.isfinite(values)]
    n = len(known)
    _, counts = np.unique(known, return_counts=True)
    alike = int(counts.max(initial=0))
    return Summary(
        mean=float(known.mean()) if n else np.nan,
        sd=float(known.std(ddof=1)) if n > 1 else np.nan,
        n_prompts=n,
        n_alike=alike,
        reason=_find_reason(n, n - alike),
    )


def spread(summary: Summary, least: float, *, most: float) -> Interval:
    """Return the interval between two values of the t statistic."""
    return Interval(
        low=summary.mean - most * summary.standard_error,
        high=summary.mean - least * summary.standard_error,
    )


def find_extremes(values: Floats, summary: Summary) -> Interval | None:
    """Return the least and the largest value of a prompt; None with too few prompts.

    They stand for an interval where too few prompts differ for one.

    Args:
        values: (prompts,), NaN where a prompt has none.
        summary: Of these values.
    """
    if summary.reason is Reason.FEW_PROMPTS:
        return None
    return Interval(low=float(np.nanmin(values)), high=float(np.nanmax(values)))


def _find_reason(n_prompts: int, n_different: int) -> Reason | None:
    if n_prompts < LEAST_PROMPTS:
        return Reason.FEW_PROMPTS
    if n_different == 0:
        return Reason.NO_SPREAD
    if n_different < LEAST_DIFFERENT:
        return Reason.FEW_DIFFERENT
    return None
