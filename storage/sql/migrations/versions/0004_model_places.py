"""Model places: where a model's files were found, and where each image's were.

Revision: 0004.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: What moves from `models` to `model_places`.
MOVED = ("name", "revision", "variant", "commit_sha")

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

FACTS = """model_places.name AS model,
    model_places.commit_sha AS model_revision,
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
    LEFT JOIN environments ON environments.id = results.environment_id
    JOIN model_places
        ON model_places.id = coalesce(results.place_id, jobs.place_id)"""


def upgrade() -> None:
    """Move the places of models into a table of their own."""
    op.execute("DROP VIEW images")
    op.execute("DROP VIEW sweep_images")
    op.create_table(
        "model_places",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text()),
        sa.Column("variant", sa.Text()),
        sa.Column("commit_sha", sa.Text()),
        sa.Column("first_at", sa.String(32), nullable=False),
        sa.Column("last_at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_model_places_model_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_places"),
        sa.UniqueConstraint("digest", name="uq_model_places_digest"),
    )
    _fill()
    for table in ("jobs", "results"):
        _point_from(table)
    op.execute(
        "UPDATE jobs SET place_id = "
        "(SELECT id FROM model_places WHERE model_places.model_id = jobs.model_id)"
    )
    for column in MOVED:
        op.drop_column("models", column)
    op.execute(IMAGES.format(facts=FACTS, tables=TABLES))
    op.execute(SWEEP_IMAGES.format(facts=FACTS, tables=TABLES))


def _fill() -> None:
    """Make a place of each model's own columns; it is where it was submitted last."""
    connection = op.get_bind()
    rows = connection.exec_driver_sql(
        "SELECT models.id, fingerprint, models.name, revision, variant, commit_sha,"
        " coalesce(min(created_at), ''), coalesce(max(created_at), '')"
        " FROM models LEFT JOIN jobs ON jobs.model_id = models.id GROUP BY models.id"
    ).all()
    for model_id, *place, first_at, last_at in rows:
        text = json.dumps(place, separators=(",", ":"), ensure_ascii=False)
        values = dict(zip(MOVED, place[1:], strict=True))
        connection.execute(
            sa.text(
                "INSERT INTO model_places (model_id, digest, name, revision, variant,"
                " commit_sha, first_at, last_at) VALUES (:model_id, :digest, :name,"
                " :revision, :variant, :commit_sha, :first_at, :last_at)"
            ),
            {
                **values,
                "model_id": model_id,
                "digest": hashlib.sha256(text.encode()).hexdigest()[:32],
                "first_at": first_at,
                "last_at": last_at,
            },
        )


def _point_from(table: str) -> None:
    # In one statement: SQLite adds no constraint to a table that is there.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = "INTEGER" if is_sqlite else "BIGINT"
    op.execute(
        f"ALTER TABLE {table} ADD COLUMN place_id {number}"
        f" CONSTRAINT fk_{table}_place_id REFERENCES model_places (id)"
    )
