"""The answer to a query for the gallery: what a report says, with links to images."""

from collections.abc import Mapping
from typing import Any

from analysis.settings import setting_of
from producer.commands.compare import read_asked
from producer.commands.report_page import build_content
from producer.report.content import Chart
from producer.report.reading import read_images
from producer.submission.opening import opened_to_read
from storage.queries.answers import read_meaning
from storage.queries.parsing import parse
from storage.settings import Settings

#: What is compared unless somebody asks for other columns.
BY = "scheduler,steps"


def answer_query(
    settings: Settings, query_text: str, *, by: str, metric: str
) -> dict[str, Any]:
    """Return what `nightsweep report` says of a query, as JSON.

    Args:
        settings: Where the images are.
        query_text: Which images.
        by: Columns to compare, with commas; empty for `BY`.
        metric: Name of a score; empty for the only one that is no distance.

    Raises:
        UsageError: The query cannot be read, or its images cannot be compared.
        DatabaseError: SQL cannot be reached.
    """
    query = parse(query_text)
    asked = {
        "by": by or BY,
        "metric": metric or None,
        "against": None,
        "margin": None,
        "gpu": None,
        "ranks_guidance": False,
    }
    wanted = read_asked(query, asked)
    with opened_to_read(settings) as database:
        images = read_images(database, wanted)
        content = build_content(
            database,
            settings,
            wanted,
            images=images,
            asked=asked,
            named=read_meaning(database, query).sweeps,
            has_pictures=False,
        )
    examples = {
        str(setting_of(row, wanted.by)): row["key"]
        for row in reversed(images.rows)
        if row["state"] == "done"
    }
    return {
        "question": content.question,
        "answer": list(content.answer),
        "facts": [list(fact) for fact in content.facts],
        "charts": [_describe(one, query_text, examples) for one in content.charts],
        "caveats": list(content.caveats),
        "metrics": [one.label for one in images.metrics],
        "metric": images.metric.label,
        "by": ",".join(wanted.by),
    }


def _describe(
    chart: Chart, query_text: str, examples: Mapping[str, str]
) -> dict[str, Any]:
    """Return a chart as JSON, with an image of each setting that has its own point."""
    points = [_linked(point, query_text) for point in chart.spec["data"]["values"]]
    named = dict.fromkeys(str(point.get("setting", "")) for point in points)
    return {
        "name": chart.name,
        "title": chart.title,
        "note": chart.note,
        "answer": list(chart.answer),
        "spec": {**chart.spec, "data": {"values": points}},
        "keys": {name: examples[name] for name in named if name in examples},
    }


def _linked(point: Mapping[str, Any], query_text: str) -> dict[str, Any]:
    """Return a point with the query of its images in place of its own terms."""
    rest = {name: value for name, value in point.items() if name != "terms"}
    terms = filter(None, (query_text, point.get("terms")))
    return {**rest, "query": " ".join(terms)}
