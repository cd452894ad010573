"""The scores of the images that a query means."""

from dataclasses import dataclass

import sqlalchemy as sa

from storage.queries.answers import read_meaning
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import jobs, metrics, scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredMetric:
    """A metric by which some of the images have scores.

    Attributes:
        id: Its row.
        name: What people call it: `clip`.
        source: What `--metric` of `score` takes for it.
        version: Its own version.
        model: The model that judges; empty for none.
        reference: How the image that each is compared with differs, as JSON.
        higher_is_better: The direction.
        count: Images of the query with a score by it.
    """

    id: int
    name: str
    source: str
    version: str
    model: str
    reference: str
    higher_is_better: bool
    count: int

    def __str__(self) -> str:
        """Return its name with all that tells it from others of the name."""
        details = (self.model, self.reference if self.reference != "{}" else "")
        said = ", ".join(filter(None, details))
        return f"{self.name} ({said})" if said else self.name


def find_metrics(database: Database, query: Query | str) -> list[ScoredMetric]:
    """Return the metrics by which images of a query have scores, newest first.

    Of several versions of a metric, only the newest counts.

    Raises:
        UsageError: A name in the query does not exist.
    """
    selection = read_meaning(database, query)
    count = sa.func.count().label("count")
    mine = scores.c.job_id.in_(selection.select_ids())
    counted = (
        sa.select(scores.c.metric_id, count)
        .where(scores.c.state == "done", mine)
        .group_by(scores.c.metric_id)
        .subquery()
    )
    names = ("id", "name", "source", "version", "model", "reference")
    rows = (
        sa.select(
            *(metrics.c[name] for name in names),
            metrics.c.higher_is_better,
            counted.c.count,
        )
        .join(counted, counted.c.metric_id == metrics.c.id)
        .order_by(metrics.c.id.desc())
    )
    newest: dict[tuple[str, str, str], ScoredMetric] = {}
    with database.read() as connection:
        for row in connection.execute(rows).mappings():
            found = ScoredMetric(**row)
            kind = found.name, found.model, found.reference
            newest.setdefault(kind, found)
    return list(newest.values())


def read_scores(
    database: Database, query: Query | str, metric: ScoredMetric
) -> dict[str, float]:
    """Return the scores of a query's images by a metric, by their keys.

    Raises:
        UsageError: A name in the query does not exist.
    """
    selection = read_meaning(database, query)
    found = (
        sa.select(jobs.c.key, scores.c.value)
        .join(jobs, jobs.c.id == scores.c.job_id)
        .where(
            scores.c.metric_id == metric.id,
            scores.c.state == "done",
            scores.c.job_id.in_(selection.select_ids()),
        )
    )
    with database.read() as connection:
        return {row.key: row.value for row in connection.execute(found)}
