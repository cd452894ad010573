"""The rows that an export is made of."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.records import AT_COLUMNS, MADE_AT
from storage.queries.parsing import refine
from storage.queries.selection import compile_query
from storage.queries.terms import Query
from storage.sharing.manifest import OF_RESULT, TIMINGS
from storage.sql.database import Database
from storage.sql.rows import job_columns
from storage.sql.schema import (
    environments,
    jobs,
    metrics,
    results,
    scheduler_names,
    schedulers,
    scores,
    sweeps,
)
from storage.sql.value_pages import in_pages

#: Columns of a result, of a score and of a metric that an export has.
RESULT = ("size_bytes", "worker", *TIMINGS, *OF_RESULT)
SCORE = ("value", "scored_at", "pixel_sha256", "reference_sha256")
METRIC = (
    *("name", "source", "version", "model", "model_fingerprint", "reference"),
    "higher_is_better",
)


def measure(database: Database, query: Query) -> tuple[int, int]:
    """Return how many images of a query are made, and the bytes of their files.

    Raises:
        UsageError: A name in the query does not exist.
    """
    size = sa.func.coalesce(sa.func.sum(results.c.size_bytes), 0)
    with database.read() as connection:
        made = compile_query(connection, refine(query, state=["done"]))
        count, size_bytes = connection.execute(made.select(sa.func.count(), size)).one()
    return int(count), int(size_bytes)


def read_view(
    database: Database, query: Query, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the rows of the view of a query for some of its images, by their keys."""
    with database.read() as connection:
        rows = compile_query(connection, query).select_rows()
        found = connection.execute(rows.where(jobs.c.key.in_(keys)))
        return {row.key: dict(row._mapping) for row in found}


def select_images(keys: Sequence[str]) -> sa.Select[Any]:
    """Return the query of some jobs, with how their images were made."""
    first = sweeps.alias("first_sweep")
    return (
        job_columns()
        .add_columns(
            schedulers.c.name.label("stored_name"),
            first.c.name.label("first_sweep"),
            *(results.c[name].label(f"made_{name}") for name in RESULT),
            *AT_COLUMNS,
            environments.c.digest.label("environment"),
            *(environments.c[name] for name in ("gpu", "host", "details")),
        )
        .join(first, first.c.id == jobs.c.sweep_id)
        .outerjoin(results, results.c.job_id == jobs.c.id)
        .outerjoin(environments, environments.c.id == results.c.environment_id)
        .outerjoin(MADE_AT, MADE_AT.c.id == results.c.place_id)
        .where(jobs.c.key.in_(keys))
    )


def read_scores(connection: Connection, ids: Sequence[int]) -> dict[int, list[Any]]:
    """Return the computed scores of some jobs, by the rows of the jobs."""
    reference = jobs.alias()
    query = (
        sa.select(
            scores.c.job_id,
            *(scores.c[name] for name in SCORE),
            metrics.c.digest,
            *(metrics.c[name].label(f"of_{name}") for name in METRIC),
            reference.c.key.label("reference"),
        )
        .join(metrics, metrics.c.id == scores.c.metric_id)
        .outerjoin(reference, reference.c.id == scores.c.reference_id)
        .where(scores.c.job_id.in_(ids), scores.c.state == "done")
        .order_by(scores.c.job_id, scores.c.metric_id)
    )
    found = defaultdict(list)
    for row in connection.execute(query):
        found[row.job_id].append(row)
    return found


def read_names(
    connection: Connection, rows: Collection[Any]
) -> dict[tuple[int, int], list[str]]:
    """Return all names of schedulers, by the rows of the model and the scheduler."""
    ids = sorted({row.scheduler_id for row in rows})
    found = defaultdict(list)
    for page in in_pages(ids):
        query = sa.select(scheduler_names).where(
            scheduler_names.c.scheduler_id.in_(page)
        )
        for row in connection.execute(query.order_by(scheduler_names.c.name)):
            found[row.model_id, row.scheduler_id].append(row.name)
    return found
