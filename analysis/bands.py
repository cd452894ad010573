"""Bands that hold for many settings at once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.estimates import Interval, Summary, find_extremes, spread, summarize
from analysis.panel import Floats, Panel, average_seeds
from analysis.resampling import resample_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One setting of a curve.

    Attributes:
        setting: Its label.
        summary: The mean over prompts and what it rests on.
        n_images: Images, or pairs of images, behind the mean.
        interval: Part of the band; None for `summary.reason`.
        bounds: What claims are decided by: the interval, or where too few prompts
            differ for one, the least and the largest value of a prompt. None with too
            few prompts.
    """

    setting: Hashable
    summary: Summary
    n_images: int
    interval: Interval | None
    bounds: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Means of several settings; with `level`, all intervals hold together.

    Attributes:
        metric: The name of the metric.
        reference: What was taken away from each setting; None for plain means.
        members: One for each setting, in the order asked for.
        critical: Standard errors to each side; None if no setting has an interval.
        level: Coverage of all intervals together.
        n_seeds: Seeds of the panel.
    """

    metric: str
    reference: Hashable | None
    members: tuple[Band, ...]
    critical: float | None
    level: float
    n_seeds: int


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
    columns = [_Column(one, panel.of(one)) for one in settings]
    return _band(panel, columns, reference=None, level=level, seed=seed)


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
    taken_away = panel.of(reference)
    columns = [_Column(one, panel.of(one) - taken_away) for one in settings]
    return _band(panel, columns, reference=reference, level=level, seed=seed)


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


class _Column:
    """Values of one setting: (prompts, seeds), and what they come to."""

    def __init__(self, setting: Hashable, values: Floats) -> None:
        self.setting = setting
        self.by_prompt = average_seeds(values)
        self.summary = summarize(self.by_prompt)
        self.n_images = int(np.isfinite(values).sum())

    def band(self, critical: float | None) -> Band:
        """Return the band of this setting, if it can have one."""
        interval = None
        if critical is not None and self.summary.reason is None:
            interval = spread(self.summary, -critical, most=critical)
        return Band(
            setting=self.setting,
            summary=self.summary,
            n_images=self.n_images,
            interval=interval,
            bounds=interval or find_extremes(self.by_prompt, self.summary),
        )


def _band(
    panel: Panel,
    columns: Sequence[_Column],
    *,
    reference: Hashable | None,
    level: float,
    seed: int,
) -> Bands:
    clear = [one.by_prompt for one in columns if one.summary.reason is None]
    critical = None
    if clear:
        critical = max_t(np.column_stack(clear), level=level, seed=seed)
    return Bands(
        metric=panel.metric,
        reference=reference,
        members=tuple(one.band(critical) for one in columns),
        critical=critical,
        level=level,
        n_seeds=len(panel.seeds),
    )
