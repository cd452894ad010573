"""Times of jobs: the seconds of each beside its settings, and indexes of both.

The column moves, so that no process of an older version stores a result without it.

Revision: 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SETTINGS = ("scheduler_id", "steps", "guidance", "model_id")


def upgrade() -> None:
    """Move the times of the results, and make the indexes that hold them."""
    op.add_column("jobs", sa.Column("total_s", sa.Float(53), nullable=True))
    op.drop_index("ix_results_total_s", "results")
    op.drop_index("ix_jobs_scheduler_id_steps_guidance_model_id_seed", "jobs")
    op.drop_index("ix_jobs_failed", "jobs")
    op.execute(
        "UPDATE jobs SET total_s = "
        "(SELECT total_s FROM results WHERE results.job_id = jobs.id) "
        "WHERE state = 'done'"
    )
    op.drop_column("results", "total_s")
    op.create_index("ix_jobs_total_s", "jobs", ["total_s"])
    of_settings = [*SETTINGS, "total_s", "seed", "state"]
    op.create_index("ix_jobs_settings", "jobs", of_settings)
    in_order = ["id", *SETTINGS, "seed", "state", "total_s"]
    op.create_index("ix_jobs_in_order", "jobs", in_order)
    _make_partial(
        "ix_jobs_failed",
        "jobs",
        ["state", *SETTINGS, "seed"],
        where="state IN ('failed', 'quarantined')",
    )
    _make_partial(
        "ix_sweep_jobs_labelled",
        "sweep_jobs",
        ["sweep_id", "scheduler_label"],
        where="scheduler_label IS NOT NULL",
    )


def _make_partial(name: str, table: str, columns: list[str], *, where: str) -> None:
    which = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=which, postgresql_where=which)
