"""The numbers of the charts and of the tables beside them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import charts, step_charts
from analysis.bands import band_means
from analysis.conclusion import Cost, signed
from analysis.noninferiority import Outcome
from analysis.settings import Setting, setting_of
from analysis.trade_off import Judged, TradeOff
from producer.report.content import Chart, Table
from storage.queries.columns import find_column
from storage.queries.parsing import refine

#: Columns of seconds in the view `images`, and what people call them.
PHASES = {
    "encode_s": "encode the prompt",
    "denoise_s": "denoise",
    "decode_s": "decode",
    "save_s": "save",
}
#: What people read for an outcome.
VERDICTS: Mapping[Outcome, str] = {
    Outcome.AS_GOOD: "as good",
    Outcome.WORSE: "worse",
    Outcome.NOT_DECIDED: "open",
}
#: Names of the front are drawn only if their costs differ by this factor.
APART = 1.7


def chart_trade_off(
    found: TradeOff, cost: Cost, pictures: Mapping[Setting, str | None]
) -> Chart:
    """Return the chart of score against cost.

    Args:
        found: What was compared.
        cost: What its costs are.
        pictures: An example of each setting, as a `data:` URL.
    """
    metric = found.panel.metric
    judged = [one for one in found.settings if one.cost]
    named = list(
        dict.fromkeys(one.setting.series for one in judged if _stands_out(one))
    )
    labelled = _apart([one for one in judged if one.is_on_front])
    points = [
        {
            "setting": str(one.setting),
            "series": one.setting.series,
            "cost": one.cost,
            "score": one.score,
            "is_front": one.is_on_front,
            "label": str(one.setting) if one.setting in labelled else "",
            "share": _share(one),
            "text": _said(one, cost),
            "terms": terms_of(one.setting),
            "picture": pictures.get(one.setting),
        }
        for one in judged
    ]
    return Chart(
        name="trade-off",
        title=f"What {cost.unit} buy",
        note=(
            f"One point is one setting: its mean {metric} over all prompts and seeds. "
            "Nothing is both cheaper and better than the large points. Point at one, "
            "or go there by Tab and the arrow keys, to see an image."
        ),
        spec=charts.trade_off(points, cost=cost.unit, score=metric, named=named),
        table=tabulate(found, cost),
    )


def chart_curves(found: TradeOff) -> Chart | None:
    """Return small charts of the score against steps; None if steps do not vary."""
    by_series: dict[str, list[Judged]] = defaultdict(list)
    for one in found.settings:
        if one.setting.steps is not None:
            by_series[one.setting.series].append(one)
    if max(map(len, by_series.values()), default=0) <= 1:
        return None
    points = [point for group in by_series.values() for point in _curve(found, group)]
    metric = found.panel.metric
    return Chart(
        name="curves",
        title=f"{metric} against steps",
        note=(
            f"The band of each chart holds for all its steps at once, with "
            f"{found.level:.0%}. It says how far the mean over prompts is known, "
            "not how much images differ. The dashed line is the reference."
        ),
        spec=step_charts.curves(points, score=metric, rule=found.best.score),
        table=Table(
            columns=("setting", "score", "from", "to"),
            rows=[
                (
                    str(point["setting"]),
                    _number(point["score"]),
                    _number(point["low"]),
                    _number(point["high"]),
                )
                for point in points
            ],
            numbers=frozenset({1, 2, 3}),
        ),
    )


def chart_times(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> Chart | None:
    """Return the chart of seconds by phase; None if no image has times.

    Images among the first after a load are left out, since their times say little.

    Args:
        rows: Of the view `images`, all of one GPU.
        by: The columns that are compared.
    """
    sums: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PHASES, 0.0))
    counts: dict[str, int] = defaultdict(int)
    terms: dict[str, str] = {}
    for row in rows:
        if row["warm_up"] or row["denoise_s"] is None:
            continue
        setting = setting_of(row, by)
        series = setting.series
        if series not in terms:
            terms[series] = terms_of(setting.without_steps)
        counts[series] += 1
        for phase in PHASES:
            sums[series][phase] += row[phase]
    if not counts:
        return None
    means = {
        series: {phase: total / counts[series] for phase, total in phases.items()}
        for series, phases in sums.items()
    }
    values = [
        {
            "series": series,
            "phase": PHASES[phase],
            "seconds": seconds,
            "terms": terms[series],
        }
        for series, phases in means.items()
        for phase, seconds in phases.items()
    ]
    return Chart(
        name="times",
        title="Where the time goes",
        note=(
            "Mean seconds per image. An image's share of its batch is its cost, not "
            "how long one waits for it. Images among the first after a load are left "
            "out."
        ),
        spec=charts.time_split(values),
        table=Table(
            columns=("series", "images", *PHASES.values()),
            rows=[
                (series, f"{counts[series]:,}", *map(_number, phases.values()))
                for series, phases in means.items()
            ],
            numbers=frozenset(range(1, 2 + len(PHASES))),
        ),
    )


def tabulate(found: TradeOff, cost: Cost) -> Table:
    """Return every setting with its difference to the reference, cheapest first."""
    settings = found.settings
    reference = frozenset(
        place for place, one in enumerate(settings) if one.setting == found.reference
    )
    return Table(
        columns=(
            *("setting", cost.unit, found.panel.metric, "images", "gain"),
            *(f"{found.level:.0%} band", "verdict", "on the front"),
        ),
        rows=[
            (
                str(one.setting),
                "" if one.cost is None else cost.form.format(one.cost),
                _number(one.score),
                f"{one.n_images:,}",
                signed(one.gain),
                _interval(one),
                verdict_of(one),
                _share(one),
            )
            for one in settings
        ],
        numbers=frozenset({1, 2, 3, 4, 5}),
        marked=reference,
    )


def terms_of(setting: Setting) -> str:
    """Return the terms of a query that the images of a setting meet."""
    return refine(
        "", **{name: value for name, value in setting.values if find_column(name)}
    ).text


def verdict_of(one: Judged) -> str:
    """Return what is shown of a setting, in words."""
    return VERDICTS[one.outcome] if one.outcome else "reference"


def _curve(found: TradeOff, group: Sequence[Judged]) -> list[dict[str, Any]]:
    group = sorted(group, key=lambda one: one.setting.steps or 0)
    bands = band_means(found.panel, [one.setting for one in group], level=found.level)
    return [
        {
            "setting": str(one.setting),
            "series": one.setting.series,
            "steps": one.setting.steps,
            "score": band.summary.mean,
            "text": f"{one.setting}: {band.summary.mean:.3g}",
            "terms": terms_of(one.setting),
            "low": band.interval.low if band.interval else None,
            "high": band.interval.high if band.interval else None,
        }
        for one, band in zip(group, bands.members, strict=True)
    ]


def _said(one: Judged, cost: Cost) -> str:
    front = ", on the front" if one.is_on_front else ""
    return f"{one.setting}: {one.score:.3g} for {cost.say(one.cost)}{front}"


def _stands_out(one: Judged) -> bool:
    return one.is_on_front or one.outcome is None


def _apart(front: Sequence[Judged]) -> set[Setting]:
    """Return settings whose names do not overlap in the chart, cheapest first."""
    kept: set[Setting] = set()
    last = 0.0
    for one in front:
        if one.cost and one.cost >= APART * last:
            kept.add(one.setting)
            last = one.cost
    return kept


def _share(one: Judged) -> str:
    if one.share is None:
        return "yes" if one.is_on_front else ""
    return f"{one.share:.0%}" if one.share else ""


def _interval(one: Judged) -> str:
    if one.bounds is None:
        return ""
    return f"{signed(one.bounds.low)} to {signed(one.bounds.high)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
