"""Bands that hold for many settings at once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.differences import pair
from analysis.estimates import Interval, Summary, spread, summarize
from analysis.panel import Floats, Panel, average_seeds
from analysis.resampling import resample_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One setting of a curve.

    Attributes:
        setting: Its label.
        summary: The mean over prompts and what it rests on.
        interval: Part of the band; None for `summary.reason`.
    """

    setting: Hashable
    summary: Summary
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Means of several settings; with `level`, all intervals hold together.

    Attributes:
        metric: The name of the metric.
        reference: What was taken away from each setting; None for plain means.
        members: One for each setting, in the order asked for.
        critical: Standard errors to each side; None if no setting has an interval.
        level: Coverage of all intervals together.
    """

    metric: str
    reference: Hashable | None
    members: tuple[Band, ...]
    critical: float | None
    level: float


def band_means(
    panel: Panel,
    settings: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Bands:
    """Return the mean of each setting with a simultaneous band, as of a curve.

    Args:
        panel: Values of all settings.
        settings: Those of the curve, in its order; all by default.
        level: Coverage of all intervals together.
        seed: Seed of the resampling.

    Raises:
        UsageError: The panel lacks a setting.
    """
    settings = panel.settings if settings is None else settings
    columns = [average_seeds(panel.of(one)) for one in settings]
    return _band(panel, settings, columns, reference=None, level=level, seed=seed)


def band_differences(
    panel: Panel,
    settings: Sequence[Hashable] | None = None,
    *,
    reference: Hashable,
    level: float = 0.95,
    seed: int = 0,
) -> Bands:
    """Return the difference of each setting to a reference with a simultaneous band.

    Args:
        panel: Values of all settings.
        settings: Those to compare; by default all but the reference.
        reference: What is taken away.
        level: Coverage of all intervals together.
        seed: Seed of the resampling.

    Raises:
        UsageError: The panel lacks a setting.
    """
    if settings is None:
        settings = [one for one in panel.settings if one != reference]
    columns = [pair(panel, one, reference=reference).by_prompt for one in settings]
    return _band(panel, settings, columns, reference=reference, level=level, seed=seed)


def max_t(values: Floats, *, level: float, seed: int) -> float:
    """Return the critical value that holds for all columns at once.

    A quantile of the largest absolute t statistic over resamples of prompts (Westfall &
    Young 1993), which uses how the columns depend on each other.

    Args:
        values: (prompts, columns), NaN where a prompt has no value.
        level: Coverage of all columns together.
        seed: Seed of the resampling.
    """
    t = np.abs(resample_t(values, seed=seed))
    largest = np.where(np.isnan(t), 0.0, t).max(axis=1)
    return float(np.quantile(largest, level))


def _band(
    panel: Panel,
    settings: Sequence[Hashable],
    columns: Sequence[Floats],
    *,
    reference: Hashable | None,
    level: float,
    seed: int,
) -> Bands:
    summaries = [summarize(column) for column in columns]
    clear = [
        column
        for column, one in zip(columns, summaries, strict=True)
        if one.reason is None
    ]
    critical = None
    if clear:
        critical = max_t(np.column_stack(clear), level=level, seed=seed)
    return Bands(
        metric=panel.metric,
        reference=reference,
        members=tuple(
            _member(setting, one, critical)
            for setting, one in zip(settings, summaries, strict=True)
        ),
        critical=critical,
        level=level,
    )


def _member(setting: Hashable, summary: Summary, critical: float | None) -> Band:
    interval = None
    if critical is not None and summary.reason is None:
        interval = spread(summary, -critical, most=critical)
    return Band(setting=setting, summary=summary, interval=interval)
