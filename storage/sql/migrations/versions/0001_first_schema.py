"""The first schema.

Revision: 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

IMAGES = """
CREATE VIEW images AS
SELECT
    jobs.key,
    first_sweep.name AS sweep,
    models.name AS model,
    models.commit_sha AS model_revision,
    models.fingerprint AS model_fingerprint,
    prompts.text AS prompt,
    prompts.negative AS negative_prompt,
    prompts.template AS prompt_template,
    jobs.seed,
    schedulers.name AS scheduler,
    schedulers.class_name AS scheduler_class,
    schedulers.options AS scheduler_options,
    jobs.steps,
    jobs.guidance,
    jobs.width,
    jobs.height,
    jobs.dtype,
    jobs.backend,
    jobs.generator,
    jobs.extras,
    jobs.state,
    jobs.attempts,
    jobs.error,
    results.path,
    results.size_bytes,
    results.pixel_sha256,
    coalesce(results.evaluations, jobs.evaluations) AS evaluations,
    results.batch_width,
    results.slot,
    results.queue_s,
    results.load_s,
    results.encode_s,
    results.denoise_s,
    results.decode_s,
    results.save_s,
    results.total_s,
    results.peak_bytes,
    results.warm_up,
    environments.gpu,
    environments.host,
    results.worker,
    results.finished_at,
    jobs.created_at
FROM jobs
    JOIN models ON models.id = jobs.model_id
    JOIN prompts ON prompts.id = jobs.prompt_id
    JOIN schedulers ON schedulers.id = jobs.scheduler_id
    LEFT JOIN results ON results.job_id = jobs.id
    LEFT JOIN environments ON environments.id = results.environment_id
    JOIN sweeps AS first_sweep ON first_sweep.id = jobs.sweep_id
"""

SWEEP_IMAGES = """
CREATE VIEW sweep_images AS
SELECT
    jobs.key,
    sweeps.name AS sweep,
    models.name AS model,
    models.commit_sha AS model_revision,
    models.fingerprint AS model_fingerprint,
    prompts.text AS prompt,
    prompts.negative AS negative_prompt,
    prompts.template AS prompt_template,
    jobs.seed,
    schedulers.name AS scheduler,
    schedulers.class_name AS scheduler_class,
    schedulers.options AS scheduler_options,
    jobs.steps,
    jobs.guidance,
    jobs.width,
    jobs.height,
    jobs.dtype,
    jobs.backend,
    jobs.generator,
    jobs.extras,
    jobs.state,
    jobs.attempts,
    jobs.error,
    results.path,
    results.size_bytes,
    results.pixel_sha256,
    coalesce(results.evaluations, jobs.evaluations) AS evaluations,
    results.batch_width,
    results.slot,
    results.queue_s,
    results.load_s,
    results.encode_s,
    results.denoise_s,
    results.decode_s,
    results.save_s,
    results.total_s,
    results.peak_bytes,
    results.warm_up,
    environments.gpu,
    environments.host,
    results.worker,
    results.finished_at,
    jobs.created_at,
    sweep_jobs.position,
    sweep_jobs.scheduler_label,
    sweep_jobs.cell
FROM jobs
    JOIN models ON models.id = jobs.model_id
    JOIN prompts ON prompts.id = jobs.prompt_id
    JOIN schedulers ON schedulers.id = jobs.scheduler_id
    LEFT JOIN results ON results.job_id = jobs.id
    LEFT JOIN environments ON environments.id = results.environment_id
    JOIN sweep_jobs ON sweep_jobs.job_id = jobs.id
    JOIN sweeps ON sweeps.id = sweep_jobs.sweep_id
"""


def upgrade() -> None:
    """Make all tables, indexes and views."""
    op.create_table(
        "blocks",
        sa.Column("group_key", sa.String(length=16), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("group_key", name=op.f("pk_blocks")),
    )
    op.create_table(
        "environments",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environments")),
        sa.UniqueConstraint("digest", name=op.f("uq_environments_digest")),
    )
    op.create_table(
        "models",
        sa.Column("id", ID, nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=True),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("commit_sha", sa.Text(), nullable=True),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("embeds_guidance", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_models_fingerprint")),
    )
    op.create_table(
        "prompts",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("negative", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("choices", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
        sa.UniqueConstraint("digest", name=op.f("uq_prompts_digest")),
    )
    op.create_table(
        "schedulers",
        sa.Column("id", ID, nullable=False),
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedulers")),
        sa.UniqueConstraint(
            "class_name",
            "options",
            "name",
            name=op.f("uq_schedulers_class_name_options_name"),
        ),
    )
    op.create_table(
        "sweeps",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("axes", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'cancelled')", name=op.f("ck_sweeps_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
        sa.UniqueConstraint("name", name=op.f("uq_sweeps_name")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("sweep_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("prompt_id", ID, nullable=False),
        sa.Column("scheduler_id", ID, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("guidance", sa.Float(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("backend", sa.String(length=16), nullable=False),
        sa.Column("generator", sa.String(length=8), nullable=False),
        sa.Column("extras", sa.Text(), nullable=False),
        sa.Column("group_key", sa.String(length=16), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'done', 'failed', 'quarantined')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_jobs_model_id")
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name=op.f("fk_jobs_prompt_id")
        ),
        sa.ForeignKeyConstraint(
            ["scheduler_id"], ["schedulers.id"], name=op.f("fk_jobs_scheduler_id")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweeps.id"], name=op.f("fk_jobs_sweep_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("key", name=op.f("uq_jobs_key")),
    )
    op.create_index(
        "ix_jobs_leased",
        "jobs",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_jobs_runnable",
        "jobs",
        ["group_key", "priority", "position"],
        unique=False,
        sqlite_where=sa.text("state = 'pending' AND priority IS NOT NULL"),
        postgresql_where=sa.text("state = 'pending' AND priority IS NOT NULL"),
    )
    op.create_table(
        "results",
        sa.Column("job_id", ID, autoincrement=False, nullable=False),
        sa.Column("environment_id", ID, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("pixel_sha256", sa.String(length=64), nullable=False),
        sa.Column("batch_width", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("queue_s", sa.Float(precision=53), nullable=True),
        sa.Column("load_s", sa.Float(precision=53), nullable=False),
        sa.Column("encode_s", sa.Float(precision=53), nullable=False),
        sa.Column("denoise_s", sa.Float(precision=53), nullable=False),
        sa.Column("decode_s", sa.Float(precision=53), nullable=False),
        sa.Column("save_s", sa.Float(precision=53), nullable=False),
        sa.Column("total_s", sa.Float(precision=53), nullable=False),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=True),
        sa.Column("warm_up", sa.Boolean(), nullable=False),
        sa.Column("finished_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_results_environment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_results_job_id")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_results")),
    )
    op.create_index(
        op.f("ix_results_finished_at"), "results", ["finished_at"], unique=False
    )
    op.create_table(
        "scores",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_scores_job_id")),
        sa.PrimaryKeyConstraint("job_id", "metric", "model", name=op.f("pk_scores")),
    )
    op.create_table(
        "sweep_jobs",
        sa.Column("sweep_id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("scheduler_label", sa.Text(), nullable=True),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_sweep_jobs_job_id")
        ),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweeps.id"], name=op.f("fk_sweep_jobs_sweep_id")
        ),
        sa.PrimaryKeyConstraint("sweep_id", "job_id", name=op.f("pk_sweep_jobs")),
    )
    op.create_index("ix_sweep_jobs_job_id", "sweep_jobs", ["job_id"], unique=False)
    op.execute(IMAGES)
    op.execute(SWEEP_IMAGES)
