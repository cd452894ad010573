"""The content of a report, from rows and a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.conclusion import Cost, conclude
from analysis.estimates import LEAST_PROMPTS
from analysis.trade_off import TradeOff
from producer.report.chart_points import (
    chart_curves,
    chart_times,
    chart_trade_off,
)
from producer.report.circumstances import (
    describe_environments,
    tabulate_coverage,
    tabulate_failures,
)
from producer.report.content import Chart, Content
from producer.report.pictures import find_examples, picture_claim

#: How columns are asked for in the question.
QUESTIONS: Mapping[str, str] = {
    "scheduler": "which scheduler",
    "steps": "how many steps",
    "guidance": "which guidance",
    "negative_prompt": "which negative prompt",
    "model": "which model",
    "dtype": "which precision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a report is made from.

    Attributes:
        title: Name of the sweep, or the query.
        rows: Rows of the view `images` with `score`, made or not.
        by: The columns that are compared.
        cost: What the costs of `found` are.
        images: The image folder.
        details: Of the environments that made the images, as JSON.
        spec: The sweep file, if the images are those of one sweep.
        commands: How to make the images and this page again.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    by: tuple[str, ...]
    cost: Cost
    images: Path
    details: Sequence[str]
    spec: str | None
    commands: Sequence[str]


def build(source: Source, found: TradeOff) -> Content:
    """Return what a report says of a comparison.

    Reads the files of one image per setting, and of those in the grid.
    """
    rows, by = source.rows, source.by
    return Content(
        title=source.title,
        question=ask(by),
        answer=conclude(found, source.cost),
        facts=_facts(rows, found),
        charts=_charts(source, found),
        grid=picture_claim(rows, found, by=by, images=source.images),
        coverage=tabulate_coverage(rows, by),
        failures=tabulate_failures(rows),
        environment=describe_environments(rows, source.details),
        spec=source.spec,
        commands=source.commands,
        caveats=_caveats(source, found),
    )


def ask(by: Sequence[str]) -> str:
    """Return the question of a comparison: "Which scheduler, and how many steps?"."""
    parts = [QUESTIONS.get(name, f"which {name.replace('_', ' ')}") for name in by]
    text = ", ".join(parts[:-1]) + ", and " + parts[-1] if parts[1:] else parts[0]
    return f"{text[0].upper()}{text[1:]}?"


def _facts(rows: Sequence[Mapping[str, Any]], found: TradeOff) -> list[tuple[str, str]]:
    models = dict.fromkeys(str(row["model"]) for row in rows)
    better = "higher" if found.panel.higher_is_better else "lower"
    return [
        ("images", f"{len(rows):,}"),
        ("settings", f"{len(found.settings):,}"),
        ("prompts", f"{len(found.panel.prompts):,}"),
        ("score", f"{found.panel.metric}, {better} is better"),
        ("model", ", ".join(models)),
    ]


def _charts(source: Source, found: TradeOff) -> list[Chart]:
    examples = find_examples(source.rows, by=source.by, images=source.images)
    charts = [chart_trade_off(found, source.cost, examples)]
    if curves := chart_curves(found):
        charts.append(curves)
    gpus = {row["gpu"] for row in source.rows if row["gpu"]}
    if len(gpus) == 1 and (times := chart_times(source.rows, source.by)):
        charts.append(times)
    return charts


def _caveats(source: Source, found: TradeOff) -> list[str]:
    metric = found.panel.metric
    caveats = [
        f"{metric} is a number, not a person: look at the images.",
        "The bands speak of prompts like these and of the seeds that were used. Other "
        "kinds of prompts may rank the settings in another way.",
        f"A margin was chosen: a loss below it counts as none. `as good` means that, "
        f"not that two settings are equal. With fewer than {LEAST_PROMPTS} prompts "
        "there are no bands.",
    ]
    gpus = sorted({row["gpu"] for row in source.rows if row["gpu"]})
    if len(gpus) > 1:
        caveats.append(
            f"Images were made on {', '.join(gpus)}, so times are not compared; "
            "evaluations are the same on each."
        )
    guidances = sorted({row["guidance"] for row in source.rows})
    if len(guidances) > 1 and "guidance" not in source.by:
        listed = ", ".join(f"{value:g}" for value in guidances)
        caveats.append(
            f"Images have guidance {listed}. Only images of equal guidance are "
            "compared, since scores rise with guidance by themselves."
        )
    return caveats
