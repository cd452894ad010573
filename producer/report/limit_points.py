"""The numbers of the charts of distances, and of the tables beside them."""

import re
from collections.abc import Iterator
from typing import Any

from analysis import step_charts
from analysis.bands import Band
from analysis.estimates import Interval
from analysis.limit_conclusion import conclude_limits, say_limit
from analysis.limits import Limits, SeriesLimit
from analysis.settings import Setting
from producer.report.chart_points import terms_of
from producer.report.content import Chart, Table


def tabulate_limits(found: Limits) -> Table:
    """Return the limit of every series, with what it rests on."""
    return Table(
        columns=(
            *("setting", "at its limit from", "distance there", "95% interval"),
            *("floor", f"{found.metric} of two seeds", "prompts"),
        ),
        rows=[
            *map(_row, found.series),
            *((str(one), "no distance yet", *[""] * 5) for one in found.unscored),
        ],
        numbers=frozenset({2, 3, 4, 5, 6}),
    )


def chart_limits(found: Limits) -> Chart | None:
    """Return the chart of distances against steps; None if nothing has a distance."""
    points = [point for one in found.series for point in _points(one)]
    if not points:
        return None
    drawn = _fit(points)
    return Chart(
        name=re.sub(r"[^a-z0-9]+", "-", f"limits-{found.metric.lower()}"),
        title=f"Steps to a setting's own limit, by {found.metric}",
        note=(
            "Mean distance of each image to that of many steps, as a share of the "
            "distance between two seeds of one prompt; both axes are logarithmic. The "
            "band of each chart holds for all its steps at once, with 95%. Below the "
            f"dashed line, {100 * found.delta:.2g}%, images are at the limit; the ring "
            "is the smallest number of steps that is shown to be. The dotted line is "
            "the floor: the reference tells nothing apart below it."
        ),
        spec=step_charts.distances(drawn, score=found.metric, delta=found.delta),
        table=Table(
            columns=("setting", "distance", "from", "to", "at the limit"),
            rows=[
                (
                    str(point["setting"]),
                    *(_share(point[name]) for name in ("score", "low", "high")),
                    "from here on" if point["is_limit"] else "",
                )
                for point in points
            ],
            numbers=frozenset({1, 2, 3}),
        ),
        summary=tabulate_limits(found),
        answer=conclude_limits(found),
    )


def limits_as_json(found: Limits) -> Iterator[dict[str, Any]]:
    """Yield the limits for programs, in units unless the name says otherwise."""
    for one in found.series:
        yield _as_json(one, found)
    for each in found.unscored:
        yield {**dict(each.values), "metric": found.metric, "outcome": "unscored"}


def _as_json(one: SeriesLimit, found: Limits) -> dict[str, Any]:
    limit, floor = one.limit, one.limit.floor
    return {
        **dict(one.series.values),
        "metric": found.metric,
        "outcome": limit.outcome.value,
        "limit_steps": limit.steps,
        "is_smallest": limit.is_smallest,
        "reference_steps": limit.reference or None,
        "floor_steps": limit.floor_steps,
        "floor": _mean(floor.summary.mean) if floor else None,
        "delta": found.delta,
        "seed_distance": one.unit,
        "images": len(one.rows),
        "prompts": limit.n_prompts,
        "level": limit.procedure.level,
        "tests": [
            {
                "steps": test.steps,
                "distance": _mean(test.distance.summary.mean),
                **_ends(test.distance.bounds),
                "is_at_limit": test.is_at_limit,
            }
            for test in limit.tests
        ],
    }


def _row(one: SeriesLimit) -> tuple[str, ...]:
    limit = one.limit
    floor = limit.floor
    there = limit.at_limit or floor
    bounds = there.bounds if there else None
    return (
        str(one.series),
        say_limit(one),
        _share(_mean(there.summary.mean)) if there else "",
        f"{_share(bounds.low)} to {_share(bounds.high)}" if bounds else "",
        _share(_mean(floor.summary.mean)) if floor else "",
        "" if one.unit is None else f"{one.unit:.3g}",
        f"{limit.n_prompts:,}" if limit.n_prompts else "",
    )


def _points(one: SeriesLimit) -> list[dict[str, Any]]:
    if one.curve is None:
        return []
    floor = one.limit.floor
    return [
        {
            "setting": str(_at(one, member)),
            "series": str(one.series),
            "steps": member.setting,
            "score": _mean(member.summary.mean),
            "low": member.interval.low if member.interval else None,
            "high": member.interval.high if member.interval else None,
            "floor": _mean(floor.summary.mean) if floor else None,
            "is_limit": member.setting == one.limit.steps,
            "text": _said(one, member),
            "terms": terms_of(_at(one, member)),
        }
        for member in one.curve.members
    ]


def _at(one: SeriesLimit, member: Band) -> Setting:
    return Setting((*one.series.values, ("steps", member.setting)))


def _said(one: SeriesLimit, member: Band) -> str:
    at_limit = ", at its limit from here on" * (member.setting == one.limit.steps)
    share = _share(_mean(member.summary.mean))
    return f"{one.series} at {member.setting} steps: {share}{at_limit}"


def _fit(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return points as a logarithmic axis takes them, which has no place for zero."""
    above = [point["score"] for point in points if point["score"]]
    least = min(above, default=1.0) / 2
    return [
        {
            **point,
            "score": point["score"] or None,
            "floor": point["floor"] or None,
            "low": max(point["low"], least) if point["high"] else None,
        }
        for point in points
    ]


def _mean(value: float) -> float | None:
    return None if value != value else value  # NaN


def _ends(bounds: Interval | None) -> dict[str, float | None]:
    return {
        "low": bounds.low if bounds else None,
        "high": bounds.high if bounds else None,
    }


def _share(value: float | None) -> str:
    """Return a share of the distance of two seeds: 3.2%."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 0.1 else 1 if abs(value) >= 0.01 else 2
    return f"{value:.{digits}%}".replace("-", "\N{MINUS SIGN}")
