"""From how many steps on each setting is at its own limit."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from analysis.bands import Bands, band_means
from analysis.panel import Panel
from analysis.settings import Setting
from analysis.step_limit import (
    DELTA,
    LimitOutcome,
    StepLimit,
    find_step_limit,
    scale,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The distance of an image to its reference.

    Attributes:
        key: Of the image.
        series: The setting without its steps.
        prompt: Text.
        seed: The seed of both images.
        steps: Of the image.
        value: The distance, in the metric's unit.
        reference: Key of the reference.
        reference_steps: Its steps.
    """

    key: str
    series: Setting
    prompt: str
    seed: int
    steps: int
    value: float
    reference: str
    reference_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLimit:
    """The limit of one series.

    Attributes:
        series: The setting without its steps.
        limit: What was found.
        unit: Median over prompts of the distance between two seeds, in the metric's
            unit; None where it is not known.
        curve: The mean distance at each number of steps, in units, the smallest first;
            None without a distance or a unit.
        rows: Its images with a distance.
        n_prompts: Prompts with one.
    """

    series: Setting
    limit: StepLimit
    unit: float | None
    curve: Bands | None
    rows: tuple[Measured, ...]
    n_prompts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of all series by one metric.

    Attributes:
        metric: The name of the distance; and after an `@`, where there are several of
            that name, what tells it from the others.
        delta: What counts as no distance, as a share of that of two seeds.
        series: Those with a distance, and those that draw noise; the first to be at its
            limit comes first, those without a limit last.
        unscored: Series without a distance that could have one.
        score_options: Options of `nightsweep score` that measure this distance; empty
            where they are not known.
    """

    metric: str
    delta: float
    series: tuple[SeriesLimit, ...]
    unscored: tuple[Setting, ...] = ()
    score_options: str = ""


def find_limits(
    rows: Iterable[Measured],
    pairs: Iterable[tuple[str, float]],
    *,
    metric: str,
    noisy: Sequence[Setting] = (),
    unscored: Sequence[Setting] = (),
    delta: float = DELTA,
) -> Limits:
    """Find the limit of every series.

    Args:
        rows: Distances of images.
        pairs: Key of a reference, and its distance to the same of another seed.
        metric: The name of the distance.
        noisy: Series that draw noise at their steps.
        unscored: Series without a distance that could have one.
        delta: What counts as no distance, as a share of that of two seeds.

    Raises:
        UsageError: Delta is not above zero, or two images are of one place.
    """
    by_series: dict[Setting, list[Measured]] = defaultdict(list)
    for row in rows:
        by_series[row.series].append(row)
    between: dict[str, list[float]] = defaultdict(list)
    for key, value in pairs:
        between[key].append(value)
    found = [
        _of_series(series, group, between, metric=metric, delta=delta)
        for series, group in by_series.items()
    ]
    found += [_of_noise(series, metric=metric, delta=delta) for series in noisy]
    found.sort(key=_rank)
    return Limits(
        metric=metric, delta=delta, series=tuple(found), unscored=tuple(unscored)
    )


def _rank(one: SeriesLimit) -> tuple[int, int]:
    return [*LimitOutcome].index(one.limit.outcome), one.limit.steps or 0


def _of_series(
    series: Setting,
    rows: Sequence[Measured],
    between: Mapping[str, Sequence[float]],
    *,
    metric: str,
    delta: float,
) -> SeriesLimit:
    reference = max(row.reference_steps for row in rows)
    rows = [row for row in rows if row.reference_steps == reference]
    panel = _lay_out(rows, metric)
    units = _units(rows, between)
    steps = sorted(one for one in panel.settings if isinstance(one, int))
    known = any(unit > 0 for unit in units.values())
    return SeriesLimit(
        series=series,
        limit=find_step_limit(
            panel, units, reference=reference, draws_noise=False, delta=delta
        ),
        unit=median(units.values()) if units else None,
        curve=band_means(scale(panel, units), steps) if known else None,
        rows=tuple(rows),
        n_prompts=len(panel.prompts),
    )


def _of_noise(series: Setting, *, metric: str, delta: float) -> SeriesLimit:
    nothing = find_step_limit(
        _lay_out((), metric), {}, reference=0, draws_noise=True, delta=delta
    )
    return SeriesLimit(
        series=series, limit=nothing, unit=None, curve=None, rows=(), n_prompts=0
    )


def _lay_out(rows: Iterable[Measured], metric: str) -> Panel:
    laid_out = ((row.prompt, row.seed, row.steps, row.value) for row in rows)
    return Panel.from_rows(laid_out, metric=metric, higher_is_better=False)


def _units(
    rows: Iterable[Measured], between: Mapping[str, Sequence[float]]
) -> dict[Hashable, float]:
    """Return the median distance between two seeds of each prompt that has two."""
    references = {row.reference: row.prompt for row in rows}
    by_prompt: dict[Hashable, list[float]] = defaultdict(list)
    for reference, prompt in references.items():
        by_prompt[prompt] += between.get(reference, ())
    return {prompt: median(values) for prompt, values in by_prompt.items() if values}
