"""Which worker computes which score: as for jobs, by claims with a lease.

A score is computed only after its row went from `pending` to `leased` here, and its
value counts only if its row was still the worker's then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.scores.identities import block_key_of
from storage.sql import leases
from storage.sql.database import Database, utc_now
from storage.sql.schema import (
    SCORE_LEASED,
    SCORE_PENDING,
    jobs,
    metrics,
    results,
    scores,
)
from storage.sql.views import select_images

#: Why a score is given up whose workers died.
KILLED = (
    "its worker died {deaths} times with this score alone; see the worker's log, then "
    "ask for it again with --retry-failed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreClaim:
    """A score that one worker owns until its lease ends.

    Attributes:
        job_id: Row of the image that is scored.
        parameters: The image's row of the view `images`.
        reference: That of the image that it is compared with; None for none.
        is_suspect: Whether it was claimed before and not computed: it may kill.
    """

    job_id: int
    parameters: Mapping[str, Any]
    reference: Mapping[str, Any] | None = None
    is_suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a claim: a value, or the reason for which there is none."""

    value: float | None = None
    error: str | None = None


def claim(  # noqa: PLR0913 - each is a rule of the choice
    database: Database,
    metric_id: int,
    *,
    owner: str,
    lease_s: float,
    limit: int,
    fresh: bool = False,
    folder_id: int | None = None,
) -> list[ScoreClaim]:
    """Take up to `limit` pending scores of a metric, in the order of their images.

    A score that was claimed before and not computed is claimed alone: if the worker
    dies, that score is known to be the cause.

    Args:
        database: Where the scores are.
        metric_id: Row of the metric.
        owner: The worker that claims.
        lease_s: Seconds that the claim lasts without a heartbeat.
        limit: Scores at most.
        fresh: Whether to leave out scores that were claimed before: others are in hand.
        folder_id: Row of the image folder that this worker can read; images that were
            written to another one are left to others. None where it is not known.
    """
    found_in = _in_folder(folder_id)
    query = (
        sa.select(scores.c.job_id, scores.c.attempts)
        .join(results, results.c.job_id == scores.c.job_id)
        .where(scores.c.metric_id == metric_id, SCORE_PENDING, found_in)
        .where(scores.c.attempts == 0 if fresh else sa.true())
        .order_by(scores.c.job_id)
        .limit(limit)
        .with_for_update(of=scores, skip_locked=True)
    )
    with database.write() as connection:
        found = leases.choose_fresh(connection.execute(query).all())
        ids = [row.job_id for row in found]
        if not ids:
            return []
        which = _these(metric_id, ids)
        leases.lease(connection, scores, which, owner=owner, lease_s=lease_s)
        return _read_claims(connection, which)


def renew(
    database: Database, *, owner: str, ids: Iterable[int], lease_s: float
) -> set[int]:
    """Renew the leases of the scores of these jobs; return those that are still held.

    A worker holds scores of one metric at a time.
    """
    which = scores.c.job_id.in_(list(ids))
    with database.write() as connection:
        held = leases.renew(connection, scores, which, owner=owner, lease_s=lease_s)
        return set(connection.execute(sa.select(scores.c.job_id).where(held)).scalars())


def hand_back(database: Database, *, owner: str, ids: Iterable[int]) -> None:
    """Hand claimed scores back; no attempt is counted."""
    mine = sa.and_(scores.c.job_id.in_(list(ids)), scores.c.owner == owner)
    with database.write() as connection:
        leases.free(connection, scores, mine)


def record(
    database: Database,
    metric_id: int,
    outcomes: Sequence[tuple[ScoreClaim, Outcome]],
    *,
    owner: str,
) -> int:
    """Write what came of claims, where they are still `owner`'s; return how many were.

    A score that somebody else computes by now, or whose image was lost, is left alone.
    """
    with database.write() as connection:
        ids = [each.job_id for each, _ in outcomes]
        mine = sa.and_(_these(metric_id, ids), scores.c.owner == owner)
        held = leases.lock(connection, scores, sa.and_(mine, SCORE_LEASED))
        query = sa.select(scores.c.job_id).where(held)
        still = set(connection.execute(query).scalars())
        rows = [_row(*pair) for pair in outcomes if pair[0].job_id in still]
        if rows:
            # One statement for all: one for each takes as long as a small network.
            this = scores.c.job_id == sa.bindparam("_job_id")
            written = sa.update(scores).where(scores.c.metric_id == metric_id, this)
            connection.execute(written, rows)
    return len(still)


def free_expired(database: Database) -> int:
    """Free the scores of workers that were silent for too long; return how many."""
    with database.write() as connection:
        return leases.free(connection, scores, leases.is_expired(connection, scores))


def free_owner(database: Database, owner: str, *, died: bool) -> int:
    """Free the scores of a worker that is gone; return how many it held.

    Args:
        database: Where the scores are.
        owner: Its name, or the prefix that `worker_ids.process_name` returns.
        died: Whether a score may be to blame. Then they are claimed one by one, and
            one that was held alone in `leases.MAX_DEATHS` such deaths fails.
    """
    mine = scores.c.owner.startswith(owner, autoescape=True)
    with database.write() as connection:
        if not died:
            return leases.free(connection, scores, mine)
        return leases.free_the_killed(
            connection, scores, mine, given_up="failed", error=KILLED
        )


def leased_owners(database: Database) -> set[str]:
    """Return the name of every worker that owns a score now."""
    with database.read() as connection:
        return leases.leased_owners(connection, scores)


def held_metrics(connection: Connection, owner: str) -> list[tuple[str, str]]:
    """Return the metrics of the scores that a worker holds: block key and name."""
    query = (
        sa.select(metrics.c.digest, metrics.c.name)
        .join(scores, scores.c.metric_id == metrics.c.id)
        .where(scores.c.owner.startswith(owner, autoescape=True), SCORE_LEASED)
        .distinct()
    )
    return [(block_key_of(row.digest), row.name) for row in connection.execute(query)]


def _these(metric_id: int, ids: Sequence[int]) -> sa.ColumnElement[bool]:
    return sa.and_(scores.c.metric_id == metric_id, scores.c.job_id.in_(ids))


def _in_folder(folder_id: int | None) -> sa.ColumnElement[bool]:
    if folder_id is None:
        return sa.true()
    return sa.or_(results.c.folder_id.is_(None), results.c.folder_id == folder_id)


def _read_claims(
    connection: Connection, which: sa.ColumnElement[bool]
) -> list[ScoreClaim]:
    columns = (scores.c.job_id, scores.c.reference_id, scores.c.attempts)
    query = sa.select(*columns).where(which)
    pairs = connection.execute(query.order_by(scores.c.job_id)).all()
    ids = {each for pair in pairs for each in pair[:2] if each is not None}
    images = select_images().add_columns(jobs.c.id.label("_id"))
    rows = {}
    for row in connection.execute(images.where(jobs.c.id.in_(ids))).mappings():
        known = dict(row)
        rows[known.pop("_id")] = known
    return [
        ScoreClaim(
            job_id=pair.job_id,
            parameters=rows[pair.job_id],
            reference=rows.get(pair.reference_id),
            is_suspect=pair.attempts > 1,
        )
        for pair in pairs
    ]


def _row(claimed: ScoreClaim, outcome: Outcome) -> dict[str, Any]:
    reference = claimed.reference or {}
    return {
        "_job_id": claimed.job_id,
        "state": "done" if outcome.error is None else "failed",
        "value": outcome.value,
        "error": outcome.error,
        "owner": None,
        "lease_until": None,
        "scored_at": utc_now() if outcome.error is None else None,
        "pixel_sha256": claimed.parameters["pixel_sha256"],
        "reference_sha256": reference.get("pixel_sha256"),
    }
