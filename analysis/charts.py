"""Charts as Vega-Lite specifications: plain dictionaries, drawn in the browser.

Every chart takes points, mappings with these fields, of which a chart uses some:

    setting   what people call the setting: "ddim at 20 steps"
    series    the setting without its steps: "ddim"
    steps     steps as asked
    cost      evaluations, or seconds
    score     mean score
    is_front  whether the setting is on the front
    label     the setting's name if the chart is to write it, else empty
    share     how often it is on the front, for people
    text      what is read aloud of it
    terms     the terms of a query that its images meet
    picture   a `data:` URL of an example image, or None

No chart has a colour for text or background: the page sets them for light and dark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Point = Mapping[str, Any]
Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
#: Okabe and Ito's colours for colour-blind readers, without yellow and black, which
#: are hard to see on white and on dark pages.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: For series without a colour of their own.
GREY = "#8c8c8c"


def trade_off(
    points: Sequence[Point], *, cost: str, score: str, named: Sequence[str]
) -> Spec:
    """Return the chart of score against cost, one line a series, the front on top.

    Args:
        points: One for each setting.
        cost: Title of the horizontal axis; the axis is logarithmic.
        score: Title of the vertical axis.
        named: Series with a colour of their own, at most as many as `COLOURS`; the
            others are grey.
    """
    x: Spec = {
        "field": "cost",
        "type": "quantitative",
        "title": cost,
        "scale": {"type": "log", "nice": False, "padding": 44},
        "axis": {"tickCount": 6, "format": "~g", "grid": False},
    }
    y: Spec = {
        "field": "score",
        "type": "quantitative",
        "title": score,
        "scale": {"zero": False, "nice": True},
    }
    place: Spec = {"x": x, "y": y}
    by_series: Spec = {
        **place,
        "color": _colour(named),
        "detail": {"field": "series"},
    }
    tooltip = _tooltip(cost, score)
    return {
        **_frame(points, f"{score} against {cost}, by setting."),
        "height": 380,
        "layer": [
            _series_lines(by_series),
            _front_line(place),
            _setting_marks({**by_series, "tooltip": tooltip}),
            _names({**place, "text": {"field": "label"}}),
        ],
    }


def _tooltip(cost: str, score: str) -> list[Spec]:
    return [
        {"field": "setting", "title": "setting"},
        {"field": "score", "title": score, "format": ".4~g"},
        {"field": "cost", "title": cost, "format": ".4~g"},
        {"field": "share", "title": "on the front"},
        {"field": "picture", "title": "image"},
    ]


def _series_lines(encoding: Spec) -> Spec:
    return {
        "mark": {"type": "line", "strokeWidth": 1.2, "opacity": 0.45},
        "encoding": {**encoding, "order": {"field": "cost"}},
    }


def _front_line(encoding: Spec) -> Spec:
    return {
        "transform": [{"filter": "datum.is_front"}],
        "mark": {
            "type": "line",
            "strokeWidth": 2,
            "strokeDash": [5, 3],
            "color": GREY,
            "interpolate": "step-after",
        },
        "encoding": {**encoding, "order": {"field": "cost"}},
    }


def _setting_marks(encoding: Spec) -> Spec:
    is_front = {"test": "datum.is_front", "value": 110}
    return {
        "mark": {"type": "point", "filled": True, "opacity": 1},
        "encoding": {
            **encoding,
            "size": {"condition": is_front, "value": 32},
            # Else the image is read aloud, letter by letter.
            "description": {"field": "text"},
        },
    }


def _names(encoding: Spec) -> Spec:
    return {
        "transform": [{"filter": "datum.label != ''"}],
        "mark": {"type": "text", "dy": -11, "fontSize": 10, "align": "center"},
        "encoding": encoding,
    }


def time_split(phases: Sequence[Mapping[str, Any]]) -> Spec:
    """Return bars of seconds per image, split into phases.

    Args:
        phases: Mappings with `series`, `phase` and `seconds`, in the order of phases.
    """
    order = list(dict.fromkeys(str(each["phase"]) for each in phases))
    rows = [{**each, "place": order.index(str(each["phase"]))} for each in phases]
    return {
        **_frame(rows, "Mean seconds per image, by phase."),
        "height": 18 * len({row["series"] for row in rows}),
        "mark": {"type": "bar"},
        "encoding": {
            "y": {
                "field": "series",
                "type": "nominal",
                "title": None,
                "sort": {"field": "seconds", "op": "sum"},
                "axis": {"labelLimit": 220},
            },
            "x": {
                "field": "seconds",
                "type": "quantitative",
                "aggregate": "sum",
                "title": "seconds per image",
                "axis": {"tickCount": 8, "format": "~g"},
            },
            "color": {
                "field": "phase",
                "type": "nominal",
                "sort": order,
                "scale": {"domain": order, "range": list(COLOURS)},
                # In one row, a phone would cut off the last name.
                "legend": {"orient": "top", "title": None, "columns": 2},
            },
            "order": {"field": "place"},
            "tooltip": [
                {"field": "series"},
                {"field": "phase"},
                {"field": "seconds", "aggregate": "sum", "format": ".3~g"},
            ],
        },
    }


def _frame(values: Sequence[Mapping[str, Any]], text: str) -> Spec:
    """Return the beginning of a single chart, as wide as its place on the page."""
    autosize = {"type": "fit-x", "contains": "padding"}
    return {**begin_facets(values, text), "width": "container", "autosize": autosize}


def begin_facets(values: Sequence[Mapping[str, Any]], text: str) -> Spec:
    """Return the beginning of small charts, whose width the page sets."""
    return {
        "$schema": SCHEMA,
        "description": text,
        "background": "transparent",
        "data": {"values": [dict(each) for each in values]},
    }


def _colour(named: Sequence[str]) -> Spec:
    names = list(named)[: len(COLOURS)]
    return {
        "condition": {
            "test": {"field": "series", "oneOf": names},
            "field": "series",
            "type": "nominal",
            "title": None,
            "scale": {"domain": names, "range": list(COLOURS[: len(names)])},
            "legend": {"orient": "top", "columns": 3, "labelLimit": 200},
        },
        "value": GREY,
    }
