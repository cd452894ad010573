"""Batches: which engine made an image, how wide a batch may be, measured speeds.

Revision: 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

IMAGES = """
CREATE VIEW images AS
SELECT
    jobs.key,
    first_sweep.name AS sweep,
    {facts}
FROM {tables}
    JOIN sweeps AS first_sweep ON first_sweep.id = jobs.sweep_id
"""

SWEEP_IMAGES = """
CREATE VIEW sweep_images AS
SELECT
    jobs.key,
    sweeps.name AS sweep,
    {facts},
    sweep_jobs.position,
    sweep_jobs.scheduler_label,
    sweep_jobs.cell
FROM {tables}
    JOIN sweep_jobs ON sweep_jobs.job_id = jobs.id
    JOIN sweeps ON sweeps.id = sweep_jobs.sweep_id
"""

FACTS = """models.name AS model,
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
    results.engine,
    results.batch_width,
    results.slot,
    results.decode_dtype,
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
    jobs.created_at"""

TABLES = """jobs
    JOIN models ON models.id = jobs.model_id
    JOIN prompts ON prompts.id = jobs.prompt_id
    JOIN schedulers ON schedulers.id = jobs.scheduler_id
    LEFT JOIN results ON results.job_id = jobs.id
    LEFT JOIN environments ON environments.id = results.environment_id"""


def upgrade() -> None:
    """Add the columns and tables, and make the views anew."""
    op.execute("DROP VIEW images")
    op.execute("DROP VIEW sweep_images")
    op.add_column(
        "results",
        sa.Column(
            "engine", sa.String(length=16), server_default="plain", nullable=False
        ),
    )
    op.add_column(
        "results",
        sa.Column(
            "decode_dtype", sa.String(length=16), server_default="", nullable=False
        ),
    )
    op.create_table(
        "widths",
        sa.Column("model_fingerprint", sa.String(length=32), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("width", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("height", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("guided", sa.Boolean(), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("batch_width", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("images_per_s", sa.Float(precision=53), nullable=True),
        sa.Column("noted_at", sa.String(length=32), nullable=False),
        sa.CheckConstraint(
            "reason IN ('memory', 'calibrated')", name=op.f("ck_widths_reason")
        ),
        sa.PrimaryKeyConstraint(
            "model_fingerprint",
            "dtype",
            "width",
            "height",
            "guided",
            "gpu",
            name=op.f("pk_widths"),
        ),
    )
    op.create_table(
        "speeds",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_fingerprint", sa.String(length=32), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("environment_id", ID, autoincrement=False, nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("width", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("height", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("guided", sa.Boolean(), nullable=False),
        sa.Column("guidance", sa.Float(precision=53), nullable=False),
        sa.Column("scheduler", sa.Text(), nullable=False),
        sa.Column("scheduler_class", sa.Text(), nullable=False),
        sa.Column("scheduler_options", sa.Text(), nullable=False),
        sa.Column("steps", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("median_s", sa.Float(precision=53), nullable=False),
        sa.Column("least_s", sa.Float(precision=53), nullable=False),
        sa.Column("most_s", sa.Float(precision=53), nullable=False),
        sa.Column("measured_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name=op.f("fk_speeds_environment_id"),
        ),
        sa.PrimaryKeyConstraint(
            "model_fingerprint",
            "environment_id",
            "dtype",
            "width",
            "height",
            "guided",
            "scheduler",
            "scheduler_class",
            "scheduler_options",
            "steps",
            name=op.f("pk_speeds"),
        ),
    )
    op.execute(IMAGES.format(facts=FACTS, tables=TABLES))
    op.execute(SWEEP_IMAGES.format(facts=FACTS, tables=TABLES))
