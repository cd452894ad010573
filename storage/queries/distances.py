"""Distances of a query's images to their references, and of those between seeds."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.score_columns import DONE, is_between_seeds
from storage.queries.scored import ScoredMetric
from storage.queries.selection import compile_query
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import jobs, metrics, scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far an image is from its reference.

    Attributes:
        key: Of the image.
        steps: Its steps.
        value: The distance.
        reference: Key of the image that stands for the limit.
        reference_steps: Its steps.
    """

    key: str
    steps: int
    value: float
    reference: str
    reference_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDistance:
    """How far two references are from each other that differ in nothing but the seed.

    Attributes:
        key: Of one.
        other: Of the other.
        value: The distance.
    """

    key: str
    other: str
    value: float


def read_distances(
    database: Database, query: Query | str, metric: ScoredMetric
) -> list[Distance]:
    """Return the distances of all images that share a reference with a query's.

    Among these are images at half of the reference's steps, which a query seldom has.

    Raises:
        UsageError: A name in the query does not exist.
    """
    reference = jobs.alias()
    with database.read() as connection:
        found = (
            sa.select(
                jobs.c.key,
                jobs.c.steps,
                scores.c.value,
                reference.c.key.label("reference"),
                reference.c.steps.label("reference_steps"),
            )
            .select_from(scores)
            .join(jobs, jobs.c.id == scores.c.job_id)
            .join(reference, reference.c.id == scores.c.reference_id)
            .where(scores.c.metric_id == metric.id, DONE)
            .where(scores.c.reference_id.in_(_references(connection, query, metric)))
            .order_by(scores.c.job_id)
        )
        rows = connection.execute(found).mappings()
        return [Distance(**row) for row in rows]


def read_seed_distances(
    database: Database, query: Query | str, metric: ScoredMetric
) -> list[SeedDistance]:
    """Return the distances between seeds, where one is the reference of an image.

    Raises:
        UsageError: A name in the query does not exist.
    """
    other = jobs.alias()
    with database.read() as connection:
        mine = _references(connection, query, metric)
        found = (
            sa.select(jobs.c.key, other.c.key.label("other"), scores.c.value)
            .select_from(scores)
            .join(jobs, jobs.c.id == scores.c.job_id)
            .join(other, other.c.id == scores.c.reference_id)
            .where(scores.c.metric_id.in_(_between_seeds(connection, metric)), DONE)
            .where(sa.or_(scores.c.job_id.in_(mine), scores.c.reference_id.in_(mine)))
            .order_by(scores.c.metric_id, scores.c.job_id)
        )
        rows = connection.execute(found).mappings()
        return [SeedDistance(**row) for row in rows]


def _references(
    connection: Connection, query: Query | str, metric: ScoredMetric
) -> sa.Select[tuple[int]]:
    """Return the query of the rows of the references of a query's images."""
    mine = scores.alias()
    selection = compile_query(connection, query)
    return sa.select(mine.c.reference_id).where(
        mine.c.metric_id == metric.id,
        mine.c.state == "done",
        mine.c.job_id.in_(selection.select_ids()),
    )


def _between_seeds(connection: Connection, metric: ScoredMetric) -> list[int]:
    """Return the rows of the same metric whose references differ in the seed."""
    this = sa.select(metrics).where(metrics.c.id == metric.id)
    of = connection.execute(this).one()
    alike = sa.select(metrics.c.id, metrics.c.reference).where(
        metrics.c.name == of.name,
        metrics.c.version == of.version,
        metrics.c.model_fingerprint == of.model_fingerprint,
    )
    rows = connection.execute(alike).all()
    return [row.id for row in rows if is_between_seeds(row.reference)]
