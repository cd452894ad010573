"""The partial indexes of the schema, for the migrations and for their test.

Apart from the tables, since naming a dialect loads it: 0.08 s that no command needs.
"""

from sqlalchemy import Index, text

from storage.sql.schema import (
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

Index(
    "ix_jobs_runnable",
    jobs.c.group_key,
    jobs.c.priority,
    jobs.c.position,
    sqlite_where=RUNNABLE,
    postgresql_where=RUNNABLE,
)
Index(
    "ix_jobs_leased",
    jobs.c.lease_until,
    sqlite_where=LEASED,
    postgresql_where=LEASED,
)
Index(
    "ix_jobs_failed",
    jobs.c.state,
    *(jobs.c[name] for name in SETTINGS),
    jobs.c.seed,
    sqlite_where=FAILED,
    postgresql_where=FAILED,
)
_LABELLED = text("scheduler_label IS NOT NULL")
Index(
    "ix_sweep_jobs_labelled",
    sweep_jobs.c.sweep_id,
    sweep_jobs.c.scheduler_label,
    sqlite_where=_LABELLED,
    postgresql_where=_LABELLED,
)
for _name, _columns, _condition in (
    ("pending", (scores.c.metric_id, scores.c.job_id), "state = 'pending'"),
    ("leased", (scores.c.lease_until,), "state = 'leased'"),
    ("waiting", (scores.c.reference_id,), "state = 'waiting'"),
    ("compared", (scores.c.reference_id,), "reference_id IS NOT NULL"),
):
    Index(
        f"ix_scores_{_name}",
        *_columns,
        sqlite_where=text(_condition),
        postgresql_where=text(_condition),
    )
