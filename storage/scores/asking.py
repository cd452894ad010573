"""What is asked: scores of images, stored once each, whatever the images' state."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.scores.identities import ResolvedMetric, store_metric
from storage.sql.database import Database
from storage.sql.leases import lock
from storage.sql.rows import insert_rows, lock_jobs
from storage.sql.schema import jobs, scores

#: Scores that are asked for in one transaction, at most.
ASKED_ROWS = 1000
#: Why a score has no value whose image, or the one it is compared with, is evicted.
REMOVED = (
    "its image, or the one that it is compared with, was removed; `nightsweep retry "
    "--evicted` makes images again"
)
#: What a score is before anybody claims it.
FRESH: Mapping[str, Any] = {
    "value": None,
    "attempts": 0,
    "deaths": 0,
    "owner": None,
    "lease_until": None,
    "error": None,
    "scored_at": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedScores:
    """What became of the scores that somebody asked for.

    Attributes:
        new: Scores that nobody asked for before.
        retried: Failed ones that are computed again.
        states: Counts of all of them by state, as they are now.
    """

    new: int = 0
    retried: int = 0
    states: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "AskedScores") -> "AskedScores":
        """Return the sum of two."""
        return AskedScores(
            new=self.new + other.new,
            retried=self.retried + other.retried,
            states=Counter(self.states) + Counter(other.states),
        )


def ask(
    database: Database,
    metric: ResolvedMetric,
    wanted: Mapping[int, int | None],
    *,
    retry: bool = False,
) -> AskedScores:
    """Store scores that nobody asked for yet; call it with `ASKED_ROWS` at most.

    A score waits until its image and its reference are done. If one of them was
    evicted, the score fails.

    Args:
        database: Where the jobs are.
        metric: The metric.
        wanted: Rows of the jobs to score, each with the row of the job that it is
            compared with, or None.
        retry: Whether failed scores are computed again.
    """
    with database.write() as connection:
        metric_id = store_metric(connection, metric)
        mine = sa.and_(scores.c.metric_id == metric_id, scores.c.job_id.in_(wanted))
        found = _lock_states(connection, wanted)
        query = sa.select(scores.c.job_id).where(mine)
        known = set(connection.execute(query).scalars())
        rows = [
            {
                **FRESH,
                "job_id": job_id,
                "metric_id": metric_id,
                "reference_id": reference_id,
                **_begin(found.get(job_id), found.get(reference_id, "done")),
            }
            for job_id, reference_id in wanted.items()
            if job_id in found and job_id not in known
        ]
        if rows:
            insert_rows(connection, sa.insert(scores), rows)
        retried = _retry(connection, mine, found) if retry and known else 0
        counts = sa.select(scores.c.state, sa.func.count()).where(mine)
        states: dict[str, int] = dict(
            connection.execute(counts.group_by(scores.c.state)).all()
        )
    return AskedScores(new=len(rows), retried=retried, states=states)


def _lock_states(
    connection: Connection, wanted: Mapping[int, int | None]
) -> dict[int | None, str]:
    """Lock jobs and references, and return their states.

    Nobody finishes one of them until the commit, so no score waits for what is done.
    """
    ids = {*wanted, *(each for each in wanted.values() if each is not None)}
    locked = lock_jobs(connection, jobs.c.id.in_(sorted(ids)))
    query = sa.select(jobs.c.id, jobs.c.state).where(locked)
    return dict(connection.execute(query).all())


def _begin(image: str | None, reference: str) -> dict[str, Any]:
    """Return how a score begins, from the states of its image and its reference."""
    if "evicted" in (image, reference):
        return {"state": "failed", "error": REMOVED}
    return {"state": "pending" if image == reference == "done" else "waiting"}


def _retry(
    connection: Connection,
    mine: sa.ColumnElement[bool],
    found: Mapping[int | None, str],
) -> int:
    gone = [each for each, state in found.items() if state == "evicted"]
    may_be = sa.and_(
        scores.c.state == "failed",
        scores.c.job_id.not_in(gone),
        sa.or_(scores.c.reference_id.is_(None), scores.c.reference_id.not_in(gone)),
    )
    failed = lock(connection, scores, sa.and_(mine, may_be))
    done = [each for each, state in found.items() if state == "done"]
    is_ready = sa.and_(
        scores.c.job_id.in_(done),
        sa.or_(scores.c.reference_id.is_(None), scores.c.reference_id.in_(done)),
    )
    state = sa.case((is_ready, "pending"), else_="waiting")
    again = sa.update(scores).where(failed).values({**FRESH, "state": state})
    return connection.execute(again).rowcount
