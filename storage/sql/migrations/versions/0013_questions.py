"""Questions: indexes for what people ask, and where the jobs of each setting are.

Revision: 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SETTINGS = ("sweep_id", "scheduler_id", "model_id", "steps", "guidance")


def upgrade() -> None:
    """Make the indexes, and note the settings of the jobs that there are."""
    for columns in (
        ("scheduler_id", "steps", "guidance", "model_id", "seed"),
        ("seed",),
        ("prompt_id",),
    ):
        op.create_index(f"ix_jobs_{'_'.join(columns)}", "jobs", columns)
    failed = sa.text("state IN ('failed', 'quarantined')")
    op.create_index(
        "ix_jobs_failed",
        "jobs",
        ["state"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    op.create_index("ix_results_total_s", "results", ["total_s"])
    op.create_table(
        "job_settings",
        sa.Column("sweep_id", ID, nullable=False),
        sa.Column("scheduler_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("steps", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("guidance", sa.Float(), nullable=False),
        sa.Column("first_id", ID, nullable=False),
        sa.Column("last_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweeps.id"], name="fk_job_settings_sweep_id"
        ),
        sa.ForeignKeyConstraint(
            ["scheduler_id"],
            ["schedulers.id"],
            name="fk_job_settings_scheduler_id",
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_job_settings_model_id"
        ),
        sa.PrimaryKeyConstraint(*SETTINGS, name="pk_job_settings"),
    )
    names = ", ".join(SETTINGS)
    op.execute(
        f"INSERT INTO job_settings ({names}, first_id, last_id) "  # noqa: S608 - fixed
        f"SELECT {names}, min(id), max(id) FROM jobs GROUP BY {names}"
    )
