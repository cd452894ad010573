"""The scores of the images that a query means.

What people say counts as one: the mean stars of an image are its score by `rating`.
"""

from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.rating_columns import MEAN_STARS
from storage.queries.score_columns import DONE, is_between_seeds, read_metrics
from storage.queries.selection import Selection, compile_query
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import jobs, ratings, scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredMetric:
    """A metric by which some of the images have scores.

    Attributes:
        label: What tells it from others, as in the column `score.LABEL`.
        id: Its row.
        name: What people call it: `clip`.
        source: What `--metric` of `score` takes for it.
        version: Its own version.
        model: The model that judges; empty for none.
        reference: How the image that each is compared with differs, as JSON.
        higher_is_better: The direction.
        count: Images of the query with a score by it.
    """

    label: str
    id: int
    name: str
    source: str
    version: str
    model: str
    reference: str
    higher_is_better: bool
    count: int

    @property
    def is_by_people(self) -> bool:
        """Whether it is what people said, which no worker computes."""
        return self.id == RATING.id

    @property
    def is_distance(self) -> bool:
        """Whether it compares each image with another one."""
        return self.reference != "{}"


#: The mean stars of an image. Rows of metrics begin at 1.
RATING = ScoredMetric(
    label="rating",
    id=0,
    name="rating",
    source="",
    version="",
    model="",
    reference="{}",
    higher_is_better=True,
    count=0,
)


def count_scores(connection: Connection, selection: Selection) -> dict[int, int]:
    """Count the scores of some images, by the id of their metric."""
    mine = scores.c.job_id.in_(selection.select_ids())
    counted = sa.select(scores.c.metric_id, sa.func.count()).where(DONE, mine)
    rows = connection.execute(counted.group_by(scores.c.metric_id))
    return dict(rows.all())


def find_metrics(database: Database, query: Query | str) -> list[ScoredMetric]:
    """Return the metrics by which images of a query have scores, newest first.

    Of several versions of a metric, only the one counts that `read_metrics` says.
    Distances between seeds are a unit, and do not count. The last one is `RATING`, if
    images have stars, unless a metric has its name.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        selection = compile_query(connection, query)
        counts = count_scores(connection, selection)
        known = read_metrics(connection)
        rated = _count_rated(connection, selection)
    found = []
    if rated and RATING.label not in known:
        found.append(replace(RATING, count=rated))
    for label, (row, *_) in known.items():
        if row.id in counts and not is_between_seeds(row.reference):
            found.append(
                ScoredMetric(
                    label=label,
                    id=row.id,
                    name=row.name,
                    source=row.source,
                    version=row.version,
                    model=row.model,
                    reference=row.reference,
                    higher_is_better=row.higher_is_better,
                    count=counts[row.id],
                )
            )
    return sorted(found, key=lambda metric: metric.id, reverse=True)


def read_scores(
    database: Database, query: Query | str, metric: ScoredMetric
) -> dict[str, float]:
    """Return the scores of a query's images by a metric, by their keys.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        ids = compile_query(connection, query).select_ids()
        if metric.is_by_people:
            found = sa.select(jobs.c.key, MEAN_STARS).join(ratings).group_by(jobs.c.key)
            found = found.where(ratings.c.stars.is_not(None), ratings.c.job_id.in_(ids))
        else:
            found = sa.select(jobs.c.key, scores.c.value).join(
                jobs, jobs.c.id == scores.c.job_id
            )
            is_its = scores.c.metric_id == metric.id
            found = found.where(is_its, DONE, scores.c.job_id.in_(ids))
        return dict(connection.execute(found).all())


def _count_rated(connection: Connection, selection: Selection) -> int:
    """Count the images that have stars."""
    mine = ratings.c.job_id.in_(selection.select_ids())
    count = sa.select(sa.func.count(ratings.c.job_id.distinct()))
    found = connection.execute(count.where(ratings.c.stars.is_not(None), mine))
    return int(found.scalar_one())
