"""The content of a report, from rows and a comparison."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.conclusion import EVALUATIONS, Cost, conclude
from analysis.estimates import LEAST_PROMPTS
from analysis.limit_conclusion import conclude_limits
from analysis.limits import Limits
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
from producer.report.limit_pictures import picture_limits
from producer.report.limit_points import chart_limits
from producer.report.pictures import find_examples, picture_claim
from storage.image_address import ImageAddress
from storage.queries.scored import RATING

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
        cost: What an image costs.
        images: The image folder; None for a report without pictures.
        details: Of the environments that made the images, as JSON.
        spec: The sweep file, if the images are those of one sweep.
        commands: How to make the images and this page again.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    by: tuple[str, ...]
    cost: Cost = EVALUATIONS
    images: ImageAddress | None
    details: Sequence[str]
    spec: str | None
    commands: Sequence[str]


def build(source: Source, found: TradeOff, limits: Sequence[Limits] = ()) -> Content:
    """Return what a report says of a comparison, and of limits.

    Reads the files of one image per setting, and of those in the grid.
    """
    rows, by = source.rows, source.by
    score = found.panel
    drawn, untold = _tell(limits)
    return Content(
        question=ask(by),
        answer=conclude(found, source.cost),
        facts=_facts(
            rows,
            settings=len(found.settings),
            prompts=len(score.prompts),
            score=f"{score.metric}, {'higher' if score.higher_is_better else 'lower'}",
        ),
        charts=[
            *_charts(source, found),
            *drawn,
            *_times(source),
        ],
        grid=picture_claim(rows, found, by=by, images=source.images)
        if source.images
        else None,
        caveats=[*_caveats(source, found.panel.metric), *untold],
        **_rest(source),
    )


def build_limits(
    source: Source, found: Limits, others: Sequence[Limits] = ()
) -> Content:
    """Return what a report says of limits alone.

    Reads the files of the images in the grid.

    Args:
        source: What it is made from.
        found: The limits that are asked for.
        others: Limits by other distances.
    """
    main = chart_limits(found)
    charts = [replace(main, answer=())] if main else []
    drawn, untold = _tell(others)
    return Content(
        question="How many steps until a setting is at its own limit?",
        answer=conclude_limits(found),
        facts=_facts(
            source.rows,
            settings=len(found.series),
            prompts=max((one.n_prompts for one in found.series), default=0),
            score=f"{found.metric}, lower",
        ),
        charts=[*charts, *drawn, *_times(source)],
        grid=picture_limits(found, source.images) if source.images else None,
        caveats=[
            f"{found.metric} is a distance, not a quality: at its limit, a picture "
            "does not change with more steps. Look at the images.",
            "Two schedulers may have two limits, and neither need be the better "
            "picture.",
            *_usual_caveats(source),
            *untold,
        ],
        **_rest(source),
    )


def _tell(limits: Iterable[Limits]) -> tuple[list[Chart], list[str]]:
    """Return the charts of limits, and the conclusion of each that has no chart."""
    charts = [(chart_limits(one), one) for one in limits]
    return (
        [chart for chart, _ in charts if chart],
        [" ".join(conclude_limits(one)) for chart, one in charts if not chart],
    )


def _rest(source: Source) -> dict[str, Any]:
    """Return what every report says."""
    rows = source.rows
    return {
        "title": source.title,
        "coverage": tabulate_coverage(rows, source.by),
        "failures": tabulate_failures(rows),
        "environment": describe_environments(rows, source.details),
        "spec": source.spec,
        "commands": source.commands,
    }


def ask(by: Sequence[str]) -> str:
    """Return the question of a comparison: "Which scheduler, and how many steps?"."""
    parts = [QUESTIONS.get(name, f"which {name.replace('_', ' ')}") for name in by]
    text = ", ".join(parts[:-1]) + ", and " + parts[-1] if parts[1:] else parts[0]
    return f"{text[0].upper()}{text[1:]}?"


def _facts(
    rows: Sequence[Mapping[str, Any]], *, settings: int, prompts: int, score: str
) -> list[tuple[str, str]]:
    models = dict.fromkeys(str(row["model"]) for row in rows)
    return [
        ("images", f"{len(rows):,}"),
        ("settings", f"{settings:,}"),
        ("prompts", f"{prompts:,}"),
        ("score", f"{score} is better"),
        ("model", ", ".join(models)),
    ]


def _charts(source: Source, found: TradeOff) -> list[Chart]:
    examples = source.images and find_examples(
        source.rows, by=source.by, images=source.images
    )
    charts = [chart_trade_off(found, source.cost, examples or {})]
    if curves := chart_curves(found):
        charts.append(curves)
    return charts


def _times(source: Source) -> list[Chart]:
    gpus = {row["gpu"] for row in source.rows if row["gpu"]}
    times = chart_times(source.rows, source.by) if len(gpus) == 1 else None
    return [times] if times else []


def _caveats(source: Source, metric: str) -> list[str]:
    source_of_score = f"{metric} is a number, not a person: look at the images."
    if metric == RATING.name:
        source_of_score = (
            "Stars are what some people said of the images that they chose to rate."
        )
    caveats = [
        source_of_score,
        "The bands speak of prompts like these and of the seeds that were used. Other "
        "kinds of prompts may rank the settings in another way.",
        f"A margin was chosen: a loss below it counts as none. `as good` means that, "
        f"not that two settings are equal. With fewer than {LEAST_PROMPTS} prompts "
        "there are no bands.",
        *_usual_caveats(source),
    ]
    guidances = sorted({row["guidance"] for row in source.rows})
    if len(guidances) > 1 and "guidance" not in source.by:
        listed = ", ".join(f"{value:g}" for value in guidances)
        caveats.append(
            f"Images have guidance {listed}. Only images of equal guidance are "
            "compared, since scores rise with guidance by themselves."
        )
    return caveats


def _usual_caveats(source: Source) -> Iterator[str]:
    gpus = sorted({row["gpu"] for row in source.rows if row["gpu"]})
    if len(gpus) > 1:
        yield (
            f"Images were made on {', '.join(gpus)}, so times are not compared; "
            "evaluations are the same on each."
        )
