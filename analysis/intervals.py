"""Intervals, bounds and p values of a mean over prompts."""

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.estimates import (
    USUAL,
    Bounds,
    Estimate,
    Procedure,
    Reason,
    Summary,
    around,
    summarize,
)
from analysis.panel import Floats
from analysis.resampling import resample_t


def estimate(values: Floats, procedure: Procedure = USUAL) -> Estimate:
    """Estimate the mean over prompts with a two-sided interval.

    The bootstrap-t interval is the symmetric one (Hall 1988): its critical value is a
    quantile of the absolute t statistic over resamples of prompts. It covers better
    than Student's where values are skewed, and better than the equal-tailed one where
    they have long tails.

    Args:
        values: (prompts,), one number per prompt, NaN where it has none.
        procedure: Level, method and seed.
    """
    summary = summarize(values)
    interval = p_value = None
    if summary.reason is None:
        t = abs(summary.mean) / summary.standard_error
        if procedure.method == "t":
            critical, p_value = _student(summary, t, level=procedure.level)
        else:
            critical, p_value = _bootstrap(values, t, procedure=procedure)
        interval = around(summary, critical)
    return Estimate(
        summary=summary, interval=interval, p_value=p_value, procedure=procedure
    )


def bound(values: Floats, procedure: Procedure = USUAL) -> Bounds:
    """Bound the mean over prompts from below and from above, each by itself.

    The bootstrap-t bounds take each tail of the t statistic by itself (Efron &
    Tibshirani 1993, ch. 12.5), so a bound on the side of a long tail lies further out.
    Where too few prompts differ for that, the bounds are the least and the largest
    value of any prompt.

    Args:
        values: (prompts,), one number per prompt, NaN where it has none.
        procedure: Level of each bound, method and seed.
    """
    summary = summarize(values)
    low = high = None
    if summary.reason in (Reason.FEW_DIFFERENT, Reason.NO_SPREAD):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
    elif summary.reason is None:
        least, most = _tails(values, summary, procedure=procedure)
        low = summary.mean - most * summary.standard_error
        high = summary.mean - least * summary.standard_error
    return Bounds(summary=summary, low=low, high=high, procedure=procedure)


def _student(summary: Summary, t: float, *, level: float) -> tuple[float, float]:
    """Return the critical value of Student (1908), and the two-sided p value."""
    freedom = summary.n_prompts - 1
    return float(stdtrit(freedom, (1 + level) / 2)), float(2 * stdtr(freedom, -t))


def _bootstrap(
    values: Floats, t: float, *, procedure: Procedure
) -> tuple[float, float]:
    """Return the critical value and the p value by resampling.

    The sample counts as one of its own resamples, so a p value is never zero (Davison &
    Hinkley 1997, ch. 4.2).
    """
    resampled = np.abs(_resample(values, seed=procedure.seed))
    beyond = int((resampled >= t).sum())
    critical = float(np.quantile(resampled, procedure.level))
    return critical, (1 + beyond) / (1 + len(resampled))


def _tails(
    values: Floats, summary: Summary, *, procedure: Procedure
) -> tuple[float, float]:
    """Return the lower and the upper critical value of the t statistic."""
    level = procedure.level
    if procedure.method == "t":
        critical = float(stdtrit(summary.n_prompts - 1, level))
        return -critical, critical
    resampled = _resample(values, seed=procedure.seed)
    least, most = np.quantile(resampled, [1 - level, level])
    return float(least), float(most)


def _resample(values: Floats, *, seed: int) -> Floats:
    known = values[np.isfinite(values)]
    t = resample_t(known[:, None], seed=seed)[:, 0]
    return t[np.isfinite(t)]
