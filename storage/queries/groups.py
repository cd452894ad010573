"""Images counted and averaged by some of their columns."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.queries.column_kinds import Column, Expression
from storage.queries.rating_columns import MEAN_STARS
from storage.queries.scope import Condition
from storage.queries.score_columns import read_metrics
from storage.queries.scored import count_scores
from storage.queries.selection import Selection, compile_query
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import environments, jobs, ratings, results, scores

Group = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that is averaged.

    Attributes:
        name: Beginning of its columns: `time` has `time_n`, `time_mean`, `time_sd`.
        value: Of a row; NULL for rows that do not count.
        table: Has the value, if it is not in `jobs` or `results`.
        which: The rows of `table` that count.
    """

    name: str
    value: Expression
    table: sa.FromClause | None = None
    which: Condition = field(default_factory=sa.true)


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """What `group` found.

    Attributes:
        rows: One for each group, sorted by the group's columns.
        gpus: What made the images whose times were averaged.
    """

    rows: Sequence[dict[str, Any]]
    gpus: Sequence[str] = field(default=())


#: Seconds of an image, warm-ups left out.
TIME = Measure(
    name="time",
    value=sa.case((results.c.warm_up == sa.false(), jobs.c.total_s)),
)
_STARS = (
    # One row for each image, whoever rated it.
    sa.select(ratings.c.job_id, MEAN_STARS.label("value"))
    .group_by(ratings.c.job_id)
    .subquery()
)
#: The mean stars of an image.
RATING = Measure(name="rating", value=_STARS.c.value, table=_STARS)


def group(
    database: Database,
    query: Query | str,
    columns: Sequence[Column],
    *,
    percentiles: Sequence[float] = (),
) -> Groups:
    """Count the images of a query by some columns, and average what was measured.

    Args:
        database: Where the images are.
        query: Which of them.
        columns: What makes a group.
        percentiles: From 0 to 100: `time_p95` for 95.

    Returns:
        For each group its columns, `n`, the number of images, and of each measure how
        many images have it (`time_n`), their mean and sample standard deviation, which
        is None for fewer than two, and percentiles, interpolated between neighbours.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        selection = compile_query(connection, query)
        rows = _Rows(connection, selection, columns)
        measures = [TIME, *_scored(connection, selection)]
        if has_ratings(connection, selection):
            measures.append(RATING)
        found = rows.averages(measures)
        for measure in measures if percentiles else ():
            for key, some in rows.values(measure).items():
                found[key] |= _percentiles(measure, some, percentiles)
        gpus = _gpus(connection, rows.environments)
    return Groups(rows=list(found.values()), gpus=gpus)


def has_ratings(connection: Connection, selection: Selection) -> bool:
    """Return whether somebody gave stars to one of some images."""
    mine = ratings.c.job_id.in_(selection.select_ids())
    found = sa.select(ratings.c.job_id).where(ratings.c.stars.is_not(None), mine)
    return connection.execute(found.limit(1)).first() is not None


class _Rows:
    """The rows of a selection, with what makes their groups."""

    def __init__(
        self, connection: Connection, selection: Selection, columns: Sequence[Column]
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._columns = columns
        raws = [_raw(column, selection) for column in columns]
        #: Rows of the environments of all times that `averages` counted.
        self.environments: set[int | None] = set()
        self._keys = [raw.label(f"by_{number}") for number, raw in enumerate(raws)]

    def averages(self, measures: Sequence[Measure]) -> dict[Group, dict[str, Any]]:
        """Return what each group has, by its key, in the order of the keys."""
        # By ids first: names are looked up once for each group of ids. By environment
        # too, since a query of its own for the environments takes as long again.
        made_by = sa.case((TIME.value.is_not(None), results.c.environment_id))
        ids = [*self._keys, made_by.label("made_by")]
        sums = [sum_ for measure in measures for sum_ in _sums(measure)]
        rows = self._selection.select(*ids, sa.func.count().label("n"), *sums)
        by_id = self._joined(rows, measures).group_by(*ids).subquery()
        shown = _named(self._columns, by_id)
        others = [*by_id.c][len(shown) :]
        totals: dict[Group, list[Any]] = {}
        named = sa.select(*shown, *others).order_by(*shown)
        for row in self._connection.execute(named):
            key, environment, *some = tuple(row[: len(shown)]), *row[len(shown) :]
            self.environments.add(environment)
            known = totals.get(key, [0] * len(some))
            both = zip(known, some, strict=True)
            totals[key] = [one + (more or 0) for one, more in both]
        return {
            key: self._described(key, some, measures) for key, some in totals.items()
        }

    def _described(
        self, key: Group, totals: Sequence[Any], measures: Sequence[Measure]
    ) -> dict[str, Any]:
        count, *sums = totals
        names = (column.name for column in self._columns)
        found = dict(zip(names, key, strict=True)) | {"n": int(count)}
        for number, measure in enumerate(measures):
            found |= _moments(measure, *sums[3 * number : 3 * number + 3])
        return found

    def values(self, measure: Measure) -> dict[Group, list[float]]:
        """Return the values of each group, by its key."""
        rows = self._selection.select(*self._keys, measure.value.label("value"))
        rows = self._joined(rows, [measure]).where(measure.value.is_not(None))
        by_id = rows.subquery()
        named = sa.select(*_named(self._columns, by_id), by_id.c.value)
        found: dict[Group, list[float]] = {}
        for *key, value in self._connection.execute(named):
            found.setdefault(tuple(key), []).append(value)
        return found

    def _joined(
        self, rows: sa.Select[Any], measures: Sequence[Measure]
    ) -> sa.Select[Any]:
        for measure in measures:
            if measure.table is not None:
                is_its = measure.table.c.job_id == self._selection.job_id
                rows = rows.outerjoin(measure.table, sa.and_(is_its, measure.which))
        return rows


def _scored(connection: Connection, selection: Selection) -> Iterator[Measure]:
    """Yield the metrics by which images have scores."""
    known = read_metrics(connection)
    # Nothing is counted where nobody asked for a score.
    counts = count_scores(connection, selection) if known else {}
    for name, (newest, *_) in known.items():
        if newest.id not in counts:
            continue
        table = scores.alias()
        which = sa.and_(table.c.metric_id == newest.id, table.c.state == "done")
        yield Measure(
            name=f"score.{name}", value=table.c.value, table=table, which=which
        )


def _raw(column: Column, selection: Selection) -> Expression:
    if column.raw is None:
        msg = f"a group must be of columns that have a value, got {column.name}."
        raise UsageError(msg)
    return column.raw(selection.scope)


def _named(columns: Sequence[Column], by_id: sa.Subquery) -> list[Expression]:
    both = zip(columns, by_id.c, strict=False)
    return [each.named(raw) if each.named else raw for each, raw in both]


def _sums(measure: Measure) -> Iterator[Expression]:
    value = measure.value
    yield sa.func.count(value).label(None)
    yield sa.func.sum(value).label(None)
    yield sa.func.sum(value * value).label(None)


def _moments(
    measure: Measure, count: int, total: float, squares: float
) -> Mapping[str, Any]:
    count = int(count)  # PostgreSQL adds counts to a decimal
    mean = total / count if count else None
    sd = None
    if count > 1 and mean is not None:
        spread = squares - count * mean * mean
        sd = math.sqrt(max(spread, 0.0) / (count - 1))
    names = (f"{measure.name}_{each}" for each in ("n", "mean", "sd"))
    return dict(zip(names, (count, mean, sd), strict=True))


def _percentiles(
    measure: Measure, values: Iterable[float], percentiles: Sequence[float]
) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"{measure.name}_p{each:g}": _percentile(ordered, each) for each in percentiles
    }


def _percentile(ordered: Sequence[float], percent: float) -> float:
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _gpus(connection: Connection, ids: Iterable[int | None]) -> list[str]:
    made_by = sa.select(environments.c.gpu).where(environments.c.id.in_(ids))
    return list(connection.execute(made_by.distinct().order_by("gpu")).scalars())
