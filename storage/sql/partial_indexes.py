"""The partial indexes of the schema, for the migrations and for their test.

Apart from the tables, since naming a dialect loads it: 0.08 s that no command needs.
"""

from typing import Any

from sqlalchemy import Column, Index, TextClause, text

from storage.sql.schema import (
    EVICTED,
    FAILED,
    LEASED,
    RUNNABLE,
    SETTINGS,
    jobs,
    metadata,
    scores,
    sweep_jobs,
)

__all__ = ["metadata"]


def _index(name: str, *columns: Column[Any], where: TextClause) -> None:
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


_index(
    "ix_jobs_runnable",
    jobs.c.group_key,
    jobs.c.priority,
    jobs.c.payer_id,
    jobs.c.position,
    where=RUNNABLE,
)
# Not by `lease_until`: PostgreSQL then writes a heartbeat without touching any index.
_index("ix_jobs_leased", jobs.c.owner, where=LEASED)
_index(
    "ix_jobs_failed",
    jobs.c.state,
    *(jobs.c[name] for name in SETTINGS),
    jobs.c.seed,
    where=FAILED,
)
_index("ix_jobs_evicted", jobs.c.id, where=EVICTED)
_index(
    "ix_sweep_jobs_labelled",
    sweep_jobs.c.sweep_id,
    sweep_jobs.c.scheduler_label,
    where=text("scheduler_label IS NOT NULL"),
)
_index(
    "ix_scores_pending",
    scores.c.metric_id,
    scores.c.job_id,
    where=text("state = 'pending'"),
)
_index("ix_scores_leased", scores.c.owner, where=text("state = 'leased'"))
_index("ix_scores_waiting", scores.c.reference_id, where=text("state = 'waiting'"))
_index(
    "ix_scores_compared",
    scores.c.reference_id,
    where=text("reference_id IS NOT NULL"),
)
