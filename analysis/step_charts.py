"""Small charts against steps, one for each series: of a score, and of distances.

The points have these fields:

    setting   what people call the setting: "ddim at 20 steps"
    series    the setting without its steps: "ddim"
    steps     steps as asked
    score     mean score, or distance
    text      what is read aloud of it
    low, high the band around it, or None where there is no band
    floor     distances only: the smallest that the reference can tell apart, or None
    is_limit  distances only: whether the series is at its limit from here on
"""

from collections.abc import Sequence

from analysis.charts import COLOURS, GREY, Point, Spec, begin_facets

#: Pixels of a small chart's height.
SMALL_PX = 110
#: Of one of distances, whose logarithms span more.
LOG_PX = 150


def curves(
    points: Sequence[Point],
    *,
    score: str,
    rule: float | None = None,
    columns: int = 3,
) -> Spec:
    """Return small charts of a score against steps, one a series, with bands.

    Args:
        points: One for each setting.
        score: Title of the vertical axis.
        rule: A value to draw as a line across all charts.
        columns: Charts in a row; the page lowers it on a narrow screen.
    """
    y: Spec = {
        "field": "score",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False},
        "axis": {"tickCount": 4},
    }
    layers = [_band(y), _line(y, score)]
    if rule is not None:
        layers.insert(0, _rule(rule))
    return {
        **begin_facets(points, f"{score} against steps, one chart for each series."),
        **_small(points, layers, columns=columns, height=SMALL_PX),
    }


def distances(
    points: Sequence[Point], *, score: str, delta: float, columns: int = 3
) -> Spec:
    """Return small charts of the distance to the limit, both axes logarithmic.

    Args:
        points: One for each setting; a distance or an end of a band that is not above
            zero has no place on a logarithmic axis, and is left out.
        score: What the distance is called.
        delta: What counts as no distance, drawn as a line across all charts.
        columns: Charts in a row; the page lowers it on a narrow screen.
    """
    y: Spec = {
        "field": "score",
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log", "nice": False, "padding": 8},
        "axis": {"values": [0.0001, 0.001, 0.01, 0.1, 1, 10], "format": "~%"},
    }
    layers = [_rule(delta), _floor(y), _band(y), _line(y, score, ".2~%"), _limit(y)]
    text = f"Distance by {score} to the limit against steps, one chart for each series."
    return {
        **begin_facets(points, text),
        **_small(points, layers, columns=columns, height=LOG_PX),
    }


def _small(
    points: Sequence[Point], layers: Sequence[Spec], *, columns: int, height: int
) -> Spec:
    """Return one chart for each series, in the order of the points."""
    return {
        "facet": {
            "field": "series",
            "title": None,
            "sort": list(dict.fromkeys(point["series"] for point in points)),
            "header": {"labelLimit": 260},
        },
        "columns": columns,
        "spec": {"height": height, "layer": [*layers]},
    }


#: The horizontal axis of all of them.
_X: Spec = {
    "field": "steps",
    "type": "quantitative",
    "title": "steps",
    "scale": {"type": "log", "nice": False, "padding": 6},
    "axis": {"tickCount": 4, "format": "~g", "grid": False},
}


def _band(y: Spec) -> Spec:
    return {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "area", "opacity": 0.22, "color": COLOURS[0]},
        "encoding": {"x": _X, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }


def _line(y: Spec, score: str, form: str = ".4~g") -> Spec:
    return {
        "mark": {"type": "line", "point": {"size": 22}, "color": COLOURS[0]},
        "encoding": {
            "x": _X,
            "y": y,
            "description": {"field": "text"},
            "tooltip": [
                {"field": "setting", "title": "setting"},
                {"field": "score", "title": score, "format": form},
                {"field": "low", "title": "from", "format": form},
                {"field": "high", "title": "to", "format": form},
            ],
        },
    }


def _limit(y: Spec) -> Spec:
    """Mark the smallest number of steps at the limit by a large ring."""
    return {
        "transform": [{"filter": "datum.is_limit"}],
        "mark": {
            "type": "point",
            "aria": False,
            "size": 160,
            "strokeWidth": 2.5,
            "color": COLOURS[1],
        },
        "encoding": {"x": _X, "y": y},
    }


def _floor(y: Spec) -> Spec:
    return {
        "transform": [{"filter": "isValid(datum.floor)"}],
        "mark": {"type": "line", "strokeDash": [1, 3], "color": GREY},
        "encoding": {"x": _X, "y": {**y, "field": "floor"}},
    }


def _rule(value: float) -> Spec:
    return {
        "data": {"values": [{"value": value}]},
        "mark": {"type": "rule", "strokeDash": [3, 3], "color": GREY},
        "encoding": {"y": {"field": "value", "type": "quantitative"}},
    }
