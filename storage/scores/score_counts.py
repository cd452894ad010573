"""Counts of scores, why some failed, and which metrics wait for a worker."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.image_address import SCHEMES
from storage.scores.identities import BLOCK_KEY_LENGTH, block_key_of
from storage.sql.database import Database
from storage.sql.row_counts import count_rows
from storage.sql.schema import (
    SCORE_LEASED,
    SCORE_PENDING,
    SCORE_WAITING,
    blocks,
    folder_places,
    jobs,
    metrics,
    results,
    scores,
    sweep_jobs,
)

#: Scores of a metric that are counted to find out how many workers to wake.
COUNTED = 512
#: Scores for which one worker is woken.
SCORES_EACH = 32
#: How many reasons for failures people are shown.
REASONS = 3
#: What stands for a metric in the table `blocks`.
_METRIC_KEY = sa.func.substr(metrics.c.digest, 1, BLOCK_KEY_LENGTH)
_BLOCK = (blocks.c.host, blocks.c.worker, blocks.c.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMetric:
    """A metric with scores that a worker may compute now.

    Attributes:
        digest: What messages call it.
        name: What people call it.
        scores: How many there are, but no more than `COUNTED`.
    """

    digest: str
    name: str
    scores: int

    @property
    def block_key(self) -> str:
        """What stands for it in the table `blocks`."""
        return block_key_of(self.digest)

    @property
    def messages(self) -> int:
        """How many workers to wake for it."""
        return -(-self.scores // SCORES_EACH)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedWork:
    """What a worker could not do, through no fault of the images.

    Attributes:
        name: The metric, or `images` for images that scores wait for.
        host: The worker's machine.
        worker: Its name for people.
        reason: Why it could not.
    """

    name: str
    host: str
    worker: str
    reason: str


def pending_metrics(database: Database, *, host: str) -> list[PendingMetric]:
    """Return the metrics with scores that workers of a host may compute now.

    Images that were written to a folder which that host does not have are left out.
    """
    query = sa.select(metrics.c.id, metrics.c.digest, metrics.c.name)
    with database.read() as connection:
        found = connection.execute(query.order_by(metrics.c.id)).all()
        counted = [(row, _count_pending(connection, row.id, host)) for row in found]
    return [
        PendingMetric(digest=row.digest, name=row.name, scores=count)
        for row, count in counted
        if count
    ]


def count_states(
    database: Database, sweep_id: int | None = None
) -> dict[int, dict[str, int]]:
    """Count the scores of the members of sweeps by state, by the row of the sweep.

    Args:
        database: Where the scores are.
        sweep_id: One sweep only; None for all of them.
    """
    query = (
        sa.select(sweep_jobs.c.sweep_id, scores.c.state, sa.func.count())
        .join(sweep_jobs, sweep_jobs.c.job_id == scores.c.job_id)
        .group_by(sweep_jobs.c.sweep_id, scores.c.state)
    )
    if sweep_id is not None:
        query = query.where(sweep_jobs.c.sweep_id == sweep_id)
    found: dict[int, dict[str, int]] = {}
    with database.read() as connection:
        # Nothing is counted where nobody asked for a score.
        if connection.execute(sa.select(metrics.c.id).limit(1)).first():
            for row_id, state, count in connection.execute(query):
                found.setdefault(row_id, {})[state] = count
    return found


def count_open(
    database: Database,
    *,
    digests: Collection[str] | None = None,
    sweep_id: int | None = None,
    without: Collection[str] = (),
) -> int:
    """Count the scores that will be computed, if workers go on.

    Scores that wait for an image which failed, or which nobody wants, are left out.

    Args:
        database: Where the scores are.
        digests: Of these metrics only; None for all.
        sweep_id: Of the members of this sweep only; None for all.
        without: Groups of jobs, and what stands for metrics, that nobody can do: the
            scores that they hold up are left out.
    """
    is_lost = _is_lost(scores.c.job_id) | _is_lost(scores.c.reference_id)
    if without:
        is_lost |= _awaits(jobs.c.group_key.in_(without))
    waits = sa.and_(SCORE_WAITING, ~is_lost)
    query = (
        sa.select(sa.func.count())
        .select_from(scores)
        .where(sa.or_(SCORE_PENDING, SCORE_LEASED, waits))
    )
    if without:
        able = sa.select(metrics.c.id).where(_METRIC_KEY.not_in(without))
        query = query.where(scores.c.metric_id.in_(able))
    query = _narrow(query, digests=digests, sweep_id=sweep_id)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def failures(
    database: Database,
    *,
    digests: Collection[str] | None = None,
    sweep_id: int | None = None,
    job_ids: sa.Select[Any] | None = None,
) -> list[tuple[str, str, int]]:
    """Return why scores failed: metric, reason, count; the most frequent.

    Args:
        database: Where the scores are.
        digests: Of these metrics only; None for all.
        sweep_id: Of the members of this sweep only; None for all.
        job_ids: Of the images with these rows only; None for all.
    """
    count = sa.func.count()
    query = (
        sa.select(metrics.c.name, scores.c.error, count)
        .join(metrics, metrics.c.id == scores.c.metric_id)
        .where(scores.c.state == "failed")
        .group_by(metrics.c.name, scores.c.error)
        .order_by(count.desc())
        .limit(REASONS)
    )
    query = _narrow(query, digests=digests, sweep_id=sweep_id)
    if job_ids is not None:
        query = query.where(scores.c.job_id.in_(job_ids))
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _narrow(
    query: sa.Select[Any],
    *,
    digests: Collection[str] | None,
    sweep_id: int | None,
) -> sa.Select[Any]:
    """Return a query of scores with those of some metrics, or of one sweep, only."""
    if digests is not None:
        ids = sa.select(metrics.c.id).where(metrics.c.digest.in_(digests))
        query = query.where(scores.c.metric_id.in_(ids))
    if sweep_id is not None:
        members = sa.select(sweep_jobs.c.job_id)
        mine = members.where(sweep_jobs.c.sweep_id == sweep_id)
        query = query.where(scores.c.job_id.in_(mine))
    return query


def blocked_metrics(database: Database) -> list[BlockedWork]:
    """Return which workers could not compute which metric, and why."""
    columns = (metrics.c.name, *_BLOCK)
    query = sa.select(*columns).join(blocks, blocks.c.group_key == _METRIC_KEY)
    with database.read() as connection:
        rows = connection.execute(query.order_by(*columns))
        return [BlockedWork(**row) for row in rows.mappings()]


def blocked_images(database: Database, digests: Collection[str]) -> list[BlockedWork]:
    """Return which workers could not make images that scores wait for, and why."""
    waits = _narrow(
        sa.select(scores.c.job_id).where(
            SCORE_WAITING, _awaits(jobs.c.group_key == blocks.c.group_key)
        ),
        digests=digests,
        sweep_id=None,
    )
    query = sa.select(*_BLOCK).where(waits.correlate(blocks).exists()).distinct()
    with database.read() as connection:
        rows = connection.execute(query.order_by(*_BLOCK))
        return [BlockedWork(name="images", **row) for row in rows.mappings()]


def _is_lost(column: sa.Column[Any]) -> sa.Exists:
    """Return whether a score waits in vain for the job in this column."""
    in_vain = sa.or_(
        jobs.c.state.in_(("failed", "quarantined")),
        sa.and_(jobs.c.state == "pending", jobs.c.priority.is_(None)),
    )
    return sa.exists().where(jobs.c.id == column, in_vain)


def _awaits(which: sa.ColumnElement[bool]) -> sa.Exists:
    """Return whether a score waits for an unmade job that meets a condition."""
    awaited = jobs.c.id.in_([scores.c.job_id, scores.c.reference_id])
    return sa.exists().where(awaited, jobs.c.state != "done", which)


def _count_pending(connection: Connection, metric_id: int, host: str) -> int:
    # Every host can read a bucket, whose scheme stands for the host.
    hosts = (host, *SCHEMES)
    here = sa.select(folder_places.c.folder_id).where(folder_places.c.host.in_(hosts))
    rows = (
        sa.select(scores.c.job_id)
        .join(results, results.c.job_id == scores.c.job_id)
        .where(scores.c.metric_id == metric_id, SCORE_PENDING)
        .where(sa.or_(results.c.folder_id.is_(None), results.c.folder_id.in_(here)))
    )
    return count_rows(connection, rows, up_to=COUNTED)
