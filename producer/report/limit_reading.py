"""What limits are made from: distances of images, and of two seeds."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.limits import Limits, Measured, find_limits
from analysis.settings import WORDS, Setting, setting_of, without
from analysis.step_limit import DELTA
from producer.report.reading import ComparisonRequest, ScoredImages, score_options
from storage.catalogue.pipeline_calls import PREFIX
from storage.catalogue.scheduler_case import is_noisy
from storage.catalogue.schedulers import CLASSES
from storage.errors import UsageError
from storage.job import EXTRAS
from storage.metrics.kinds import KINDS
from storage.queries.distances import Distance, read_distances, read_seed_distances
from storage.queries.scored import ScoredMetric
from storage.sql.database import Database

Row = Mapping[str, Any]


def answer_limits(
    database: Database, asked: ComparisonRequest, images: ScoredImages
) -> Limits:
    """Find the limits by the distance that people ask for.

    Raises:
        UsageError: Something was asked that limits have not.
    """
    _check(asked, images.metric)
    delta = asked.margin.value if asked.margin else DELTA
    return read_limits(database, asked, images.rows, images.metric, delta=delta)


def read_all_limits(
    database: Database,
    asked: ComparisonRequest,
    images: ScoredImages,
    *,
    but: ScoredMetric | None = None,
) -> list[Limits]:
    """Find the limits by every distance that tells them, but for one.

    Raises:
        UsageError: Two images differ in nothing that can be compared.
    """
    return [
        read_limits(database, asked, images.rows, one, delta=DELTA)
        for one in telling_distances(images)
        if one != but
    ]


def telling_distances(images: ScoredImages) -> list[ScoredMetric]:
    """Return the distances that tell limits, by their labels."""
    found = [one for one in images.metrics if one.is_distance and not _for_show(one)]
    return sorted(found, key=lambda one: one.label)


def read_limits(
    database: Database,
    asked: ComparisonRequest,
    rows: Sequence[Row],
    metric: ScoredMetric,
    *,
    delta: float,
) -> Limits:
    """Find the limits by a distance.

    Scheduler, whatever else is compared and whatever else differs each have limits of
    their own: images are alike only in what makes them one setting but for its steps.

    Args:
        database: Where the distances are.
        asked: Which images, and the columns that are compared.
        rows: Of the view `images`.
        metric: The distance.
        delta: What counts as no distance, as a share of that of two seeds.

    Raises:
        UsageError: Two images differ in nothing that can be compared.
    """
    columns = _columns(rows, asked.by)
    series = {row["key"]: _series(row, columns) for row in rows}
    distances = read_distances(database, asked.query, metric)
    measured = list(_measure(distances, {row["key"]: row for row in rows}, series))
    known = {one.series for one in measured}
    references = {one.reference for one in distances}
    noisy, unscored = _without(rows, series, references)
    between = read_seed_distances(database, asked.query, metric)
    found = find_limits(
        measured,
        [
            (one.key if one.key in references else one.other, one.value)
            for one in between
        ],
        metric=metric.label,
        noisy=[one for one in noisy if one not in known],
        unscored=[one for one in unscored if one not in known],
        delta=delta,
    )
    return replace(found, score_options=score_options(metric))


def _check(asked: ComparisonRequest, metric: ScoredMetric) -> None:
    if _for_show(metric):
        msg = (
            f"settings must not be ranked by {metric.name}, which is for show: it has "
            "no mean where images are equal; name another with --metric."
        )
        raise UsageError(msg)
    if "steps" not in asked.by:
        msg = (
            f"{metric.name} tells from how many steps on images are at their limit, so "
            f"--by must have steps, got {','.join(asked.by)}; add it."
        )
        raise UsageError(msg)
    given = {
        "--against": asked.against,
        "--gpu": asked.gpu,
        "--rank-guidance": asked.ranks_guidance,
    }
    for name, value in given.items():
        if value:
            msg = (
                f"{metric.name} tells limits, which take no {name}; leave it out, or "
                "compare by another score."
            )
            raise UsageError(msg)


def _for_show(metric: ScoredMetric) -> bool:
    kind = KINDS.get(metric.name)
    return kind is not None and kind.for_show


def _columns(rows: Iterable[Row], by: Sequence[str]) -> list[str]:
    """Return what makes a series: the scheduler, and what is compared or differs."""
    seen: dict[str, set[Any]] = defaultdict(set)
    calls = [name for name in by if name.startswith(PREFIX)]
    for row in rows:
        for name in WORDS:
            seen[name].add(_value(row, name, calls))
    chosen = {"scheduler", *by} | {name for name in WORDS if len(seen[name]) > 1}
    return [name for name in (*WORDS, *calls) if name in chosen and name != "steps"]


def _series(row: Row, columns: Sequence[str]) -> Setting:
    setting = setting_of(row, columns)
    if "extras" not in columns:
        return setting
    own = {**dict(setting.values), "extras": _value(row, "extras", columns)}
    return Setting(tuple(own.items()))


def _value(row: Row, name: str, compared: Iterable[str]) -> Any:
    """Return a value; extras without eta and what is compared by its own name."""
    return without(row[name], "eta", *compared) if name == "extras" else row[name]


def _measure(
    distances: Sequence[Distance],
    rows: Mapping[str, Row],
    series: Mapping[str, Setting],
) -> Iterator[Measured]:
    """Yield the distances of the rows, and those of their halves.

    An image that is not among the rows is the half of a reference if it has the most
    steps of all up to half of them; it has the prompt and seed of the rows that share
    the reference.
    """
    of = {one.reference: one.key for one in distances if one.key in rows}
    floors = _floors(distances)
    for one in distances:
        is_half = one.steps == floors.get(one.reference)
        if one.key not in rows and not is_half:
            continue
        key = one.key if one.key in rows else of[one.reference]
        yield Measured(
            key=one.key,
            series=series[key],
            prompt=rows[key]["prompt"],
            seed=rows[key]["seed"],
            steps=one.steps,
            value=one.value,
            reference=one.reference,
            reference_steps=one.reference_steps,
        )


def _floors(distances: Iterable[Distance]) -> dict[str, int]:
    """Return the most steps up to half of each reference's."""
    floors: dict[str, int] = {}
    for one in distances:
        if one.steps <= one.reference_steps // 2:
            floors[one.reference] = max(one.steps, floors.get(one.reference, 0))
    return floors


def _without(
    rows: Iterable[Row], series: Mapping[str, Setting], references: set[str]
) -> tuple[list[Setting], list[Setting]]:
    """Return the series that draw noise, and the others; references left out."""
    noisy: dict[Setting, None] = {}
    others: dict[Setting, None] = {}
    for row in rows:
        if row["key"] not in references:
            (noisy if _draws_noise(row) else others)[series[row["key"]]] = None
    return list(noisy), list(others)


def _draws_noise(row: Row) -> bool:
    """Return whether a scheduler draws noise, as far as its class and options say."""
    of = CLASSES.get(row["scheduler_class"])
    if of is None:
        return False
    options, extras = json.loads(row["scheduler_options"]), json.loads(row["extras"])
    return is_noisy(of, of.values(options, {}), extras.get("eta", EXTRAS["eta"]))
