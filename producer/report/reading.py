"""What a comparison is made from: images, their scores, and what they cost."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from analysis.conclusion import EVALUATIONS, Cost
from analysis.margins import Margin
from analysis.settings import Setting, setting_of
from analysis.trade_off import TradeOff, read_panel, weigh
from producer.options import program
from storage.catalogue.pipeline_families import OWN_SCALE
from storage.errors import UsageError
from storage.job import canonical_json
from storage.jobs import speeds
from storage.jobs.speeds import Speed
from storage.metrics.kinds import KINDS
from storage.queries import answers
from storage.queries.score_columns import matching_names
from storage.queries.scored import ScoredMetric, find_metrics, read_scores
from storage.queries.terms import Query
from storage.sql.database import Database

Row = dict[str, Any]
#: Columns that do not change the work of one evaluation. Between settings that differ
#: in others, such as the size, evaluations are no cost.
EQUAL_WORK = frozenset(
    {
        *("scheduler", "steps", "negative_prompt", "generator", "extras"),
        *("call.guidance_rescale", "call.cfg_normalization"),
    }
)
#: Scales of guidance.
GUIDANCES = frozenset({"guidance", OWN_SCALE, "call.distilled_guidance_scale"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRequest:
    """What people ask of a comparison.

    Attributes:
        query: Which images.
        by: The columns that are compared.
        metric: Name of the score, as in `score.NAME`; None for the only one there is,
            distances left aside.
        against: The values of the reference, as `--against` takes them; None for the
            best setting.
        margin: The loss that counts as none; for a distance, the share of that of two
            seeds. None for the default.
        gpu: Part of the name of the GPU whose calibrated seconds are the cost; None
            for evaluations.
        ranks_guidance: Whether guidance may be ranked by a score that rises with it.
    """

    query: Query
    by: tuple[str, ...]
    metric: str | None = None
    against: str | None = None
    margin: Margin | None = None
    gpu: str | None = None
    ranks_guidance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImages:
    """The images of a query, and the metrics by which they have scores.

    Attributes:
        rows: Of the view `images`, made or not, with `score` by `metric`.
        metric: What is asked for.
        metrics: All of them, newest first.
    """

    rows: Sequence[Row]
    metric: ScoredMetric
    metrics: Sequence[ScoredMetric]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A comparison.

    Attributes:
        found: The comparison.
        cost: What its costs are.
    """

    found: TradeOff
    cost: Cost


def read_images(database: Database, asked: ComparisonRequest) -> ScoredImages:
    """Read images with their scores.

    Raises:
        UsageError: There are no images or no scores, or the metric does not exist.
    """
    rows: list[Row] = list(answers.find(database, asked.query))
    if not rows:
        msg = (
            "a comparison must have images, but nothing matches the query; "
            f"`{program()} find --count` tries a query."
        )
        raise UsageError(msg)
    _name_models(rows)
    metrics = find_metrics(database, asked.query)
    metric = _choose_metric(metrics, asked)
    scores = read_scores(database, asked.query, metric)
    for row in rows:
        row["score"] = scores.get(row["key"])
    return ScoredImages(rows=rows, metric=metric, metrics=metrics)


def _name_models(rows: Sequence[Row]) -> None:
    """Give each model one name: the first of its places, and part of its fingerprint.

    The fingerprint is added only where two models have one name.
    """
    names: dict[str, str] = {}
    for row in rows:
        names.setdefault(row["model_fingerprint"], row["model"])
    shared = Counter(names.values())
    for row in rows:
        fingerprint = row["model_fingerprint"]
        name = names[fingerprint]
        row["model"] = name if shared[name] == 1 else f"{name} ({fingerprint[:6]})"


def score_options(metric: ScoredMetric) -> str:
    """Return the options of `nightsweep score` that compute a metric again."""
    options = [f"--metric {shlex.quote(metric.source)}"]
    if metric.model:
        options.append(f"--metric-model {shlex.quote(metric.model)}")
    options += [
        f"--reference {name}={value}"
        for name, value in json.loads(metric.reference).items()
    ]
    return " ".join(options)


def answer(
    database: Database, asked: ComparisonRequest, images: ScoredImages
) -> Answered:
    """Compare settings by a score that is no distance.

    Raises:
        UsageError: There is only one setting; the reference or the GPU does not exist;
            or guidance cannot be ranked.
    """
    metric = images.metric
    _check_kind(metric, asked)
    scored = [row for row in images.rows if row["score"] is not None]
    panel = read_panel(
        scored,
        by=asked.by,
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
    )
    costs, cost = _find_costs(database, scored, asked)
    chosen: Any = panel.settings
    reference = (
        _choose_reference(chosen, asked.against) if asked.against is not None else None
    )
    found = weigh(panel, costs, reference=reference, margin=asked.margin)
    return Answered(found=found, cost=cost)


def _choose_metric(
    known: Sequence[ScoredMetric], asked: ComparisonRequest
) -> ScoredMetric:
    if not known:
        msg = (
            "a comparison must have scores, but none of these images has one by the "
            "newest version of a metric; "
            f"`{program()} score QUERY --metric clip` computes them."
        )
        raise UsageError(msg)
    labelled = {one.label: one for one in known}
    # Distances tell limits, and only those who name one ask for them. Stars are few
    # beside scores.
    computed = [one for one in known if not one.is_by_people] or known
    usual = [one.label for one in computed if not one.is_distance]
    usual = usual or [one.label for one in computed]
    named = matching_names(asked.metric, labelled) if asked.metric else usual
    if len(named) == 1:
        return labelled[named[0]]
    listed = ", ".join(f"{one.label!r} with {one.count:,} scores" for one in known)
    given = f", got {asked.metric!r}" if asked.metric else ""
    msg = f"--metric must name one of {listed}{given}."
    raise UsageError(msg)


def _check_kind(metric: ScoredMetric, asked: ComparisonRequest) -> None:
    kind = KINDS.get(metric.name)
    if kind is None:  # a user's own
        return
    is_ranked = not GUIDANCES.isdisjoint(asked.by)
    if is_ranked and kind.rises_with_guidance and not asked.ranks_guidance:
        msg = (
            f"guidance must not be ranked by {metric.name}, which rises with guidance "
            "even as images get worse; compare --by scheduler,steps, or give "
            "--rank-guidance to see it all the same."
        )
        raise UsageError(msg)


def _choose_reference(settings: Sequence[Setting], against: str) -> Setting:
    """Return the setting that has the values of `--against`, such as "ddim,50"."""
    by_text = {",".join(_values(one)): one for one in settings}
    for text in (against, re.sub(r",\s+", ",", against.strip())):
        if text in by_text:
            return by_text[text]
    near = get_close_matches(against, by_text, n=1, cutoff=0)
    msg = (
        f"--against must give the values of one setting in the order of --by, got "
        f"{against!r}; the nearest is {near[0]!r}."
    )
    raise UsageError(msg)


def _values(setting: Setting) -> tuple[str, ...]:
    return tuple(
        f"{value:g}" if isinstance(value, float) else str(value)
        for _, value in setting.values
    )


def _find_costs(
    database: Database, rows: Iterable[Row], asked: ComparisonRequest
) -> tuple[Mapping[Hashable, float | None], Cost]:
    if asked.gpu is None:
        if not EQUAL_WORK.issuperset(asked.by):
            return {}, EVALUATIONS
        return _evaluations(rows, asked.by), EVALUATIONS
    measured = speeds.read(database, gpu=asked.gpu)
    exact = [speed for speed in measured if speed.gpu == asked.gpu]
    measured = exact or measured
    gpus = sorted({speed.gpu for speed in measured})
    if len(gpus) != 1:
        msg = (
            f"--gpu must name one GPU that was calibrated, got {asked.gpu!r} for "
            f"{', '.join(gpus) or 'none'}; `{program()} calibrate MODEL` measures one."
        )
        raise UsageError(msg)
    return _seconds(rows, measured, asked.by), Cost(
        unit=f"seconds on {gpus[0]}", form="{:.3g}"
    )


def _evaluations(
    rows: Iterable[Row], by: Sequence[str]
) -> Mapping[Hashable, float | None]:
    """Return the mean evaluations of each setting."""
    sums: dict[Setting, list[int]] = {}
    for row in rows:
        total = sums.setdefault(setting_of(row, by), [0, 0])
        total[0] += row["evaluations"]
        total[1] += 1
    return {setting: total / count for setting, (total, count) in sums.items()}


def _seconds(
    rows: Iterable[Row], measured: Iterable[Speed], by: Sequence[str]
) -> Mapping[Hashable, float | None]:
    """Return the calibrated seconds of each setting; None where they are not known.

    A setting that is several kinds of image, such as two sizes, has no one time.
    """
    known = {_kind_of_speed(speed): speed.median_s for speed in measured}
    found: dict[Hashable, set[float | None]] = {}
    for row in rows:
        seconds = known.get(_kind_of_row(row))
        found.setdefault(setting_of(row, by), set()).add(seconds)
    return {
        setting: next(iter(times)) if len(times) == 1 else None
        for setting, times in found.items()
    }


def _kind_of_speed(speed: Speed) -> tuple[Any, ...]:
    return (
        *(speed.model_fingerprint, speed.dtype, speed.width, speed.height),
        *(speed.guidance > 1, speed.scheduler_class, speed.steps),
        canonical_json(speed.scheduler_options),
    )


def _kind_of_row(row: Row) -> tuple[Any, ...]:
    return (
        *(row["model_fingerprint"], row["dtype"], row["width"], row["height"]),
        *(row["guidance"] > 1, row["scheduler_class"], row["steps"]),
        row["scheduler_options"],
    )
