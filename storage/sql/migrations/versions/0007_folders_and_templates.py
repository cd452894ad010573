"""Folders and templates: which folder a file is in, how a sweep writes its prompts.

Revision: 0007.
"""

import hashlib
import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
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

FIRST_TEMPLATE = """(
        SELECT templates.text
        FROM sweep_jobs JOIN templates ON templates.id = sweep_jobs.template_id
        WHERE sweep_jobs.sweep_id = jobs.sweep_id AND sweep_jobs.job_id = jobs.id
    )"""

TEMPLATE = """(
        SELECT templates.text FROM templates
        WHERE templates.id = sweep_jobs.template_id
    )"""

FACTS = """model_places.name AS model,
    model_places.commit_sha AS model_revision,
    models.fingerprint AS model_fingerprint,
    prompts.text AS prompt,
    prompts.negative AS negative_prompt,
    {template} AS prompt_template,
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

#: Whether a cell ends with the choices of a template.
SAME_CHOICES = """substr(
        sweep_jobs.cell, length(sweep_jobs.cell) - length(template_of.choices) + 1
    ) = template_of.choices"""

#: The sweeps whose texts hold the templates of their prompts.
WRITERS = """
CREATE TABLE writer_of AS
SELECT used.sweep_id, used.template_id
FROM (
    SELECT DISTINCT sweep_jobs.sweep_id, template_of.template_id
    FROM sweep_jobs
        JOIN jobs ON jobs.id = sweep_jobs.job_id
        JOIN template_of ON template_of.prompt_id = jobs.prompt_id
    WHERE {same_choices}
) AS used
    JOIN sweeps ON sweeps.id = used.sweep_id
    JOIN templates ON templates.id = used.template_id
WHERE {find}(sweeps.spec, templates.text) > 0
"""

MEMBERS = """
UPDATE sweep_jobs SET template_id = (
    SELECT template_of.template_id
    FROM jobs JOIN template_of ON template_of.prompt_id = jobs.prompt_id
    WHERE jobs.id = sweep_jobs.job_id AND {same_choices} AND (
        template_of.sweep_id = sweep_jobs.sweep_id AND sweep_jobs.revision = 1
        OR EXISTS (
            SELECT 1 FROM writer_of
            WHERE writer_of.sweep_id = sweep_jobs.sweep_id
                AND writer_of.template_id = template_of.template_id
        )
    )
)
"""


def upgrade() -> None:
    """Give the database an id and its folders a table; move the templates."""
    op.execute("DROP VIEW images")
    op.execute("DROP VIEW sweep_images")
    _make_folders()
    _move_templates()
    for view, template in ((IMAGES, FIRST_TEMPLATE), (SWEEP_IMAGES, TEMPLATE)):
        facts = FACTS.format(template=template)
        op.execute(view.format(facts=facts, tables=TABLES))


def _make_folders() -> None:
    about = op.create_table(
        "about",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("database_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_about"),
        sa.CheckConstraint("id = 1", name=op.f("ck_about_only")),
    )
    op.bulk_insert(about, [{"id": 1, "database_id": secrets.token_hex(16)}])
    op.create_table(
        "folders",
        sa.Column("id", ID, nullable=False),
        sa.Column("mark", sa.String(32), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        sa.UniqueConstraint("mark", name="uq_folders_mark"),
    )
    _point_from("results", "folder_id", "folders")


def _move_templates() -> None:
    """Give each sweep its own; the text of a prompt had one for all sweeps."""
    templates = op.create_table(
        "templates",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_templates"),
        sa.UniqueConstraint("digest", name="uq_templates_digest"),
    )
    _point_from("sweep_jobs", "template_id", "templates")
    connection = op.get_bind()
    texts = connection.exec_driver_sql(
        "SELECT DISTINCT template FROM prompts WHERE template IS NOT NULL"
    ).scalars()
    for text in texts.all():
        row = {"digest": hashlib.sha256(text.encode()).hexdigest()[:32], "text": text}
        connection.execute(templates.insert(), row)
    _point_members()
    for column in ("template", "choices"):
        op.drop_column("prompts", column)


def _point_members() -> None:
    """Point members of sweeps to the templates that their prompts had.

    A prompt had the template of the first sweep only. So a member has it where it is of
    that sweep, or where the text of its sweep holds the template. Of the others it is
    not known until they are submitted again.
    """
    _note_templates()
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    find = "instr" if is_sqlite else "strpos"
    op.execute(WRITERS.format(same_choices=SAME_CHOICES, find=find))
    op.create_index("writer_of_pair", "writer_of", ["sweep_id", "template_id"])
    op.execute(MEMBERS.format(same_choices=SAME_CHOICES))
    op.drop_table("writer_of")
    op.drop_table("template_of")


def _note_templates() -> None:
    """Note the template of each prompt, the sweep that it is of, and its choices."""
    template_of = op.create_table(
        "template_of",
        sa.Column("prompt_id", ID, primary_key=True),
        sa.Column("template_id", ID, nullable=False),
        sa.Column("sweep_id", ID, nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
    )
    connection = op.get_bind()
    rows = connection.exec_driver_sql(
        "SELECT prompts.id, templates.id, jobs.sweep_id, prompts.choices FROM prompts"
        " JOIN templates ON templates.text = prompts.template"
        " JOIN (SELECT prompt_id, min(id) AS id FROM jobs GROUP BY prompt_id) AS first"
        " ON first.prompt_id = prompts.id JOIN jobs ON jobs.id = first.id"
        " WHERE prompts.choices IS NOT NULL"
    ).all()
    for prompt_id, template_id, sweep_id, choices in rows:
        numbered = enumerate(json.loads(choices), start=1)
        # As a cell ends with them.
        cell = {f"prompt.{number}": choice for number, choice in numbered}
        row = {
            "prompt_id": prompt_id,
            "template_id": template_id,
            "sweep_id": sweep_id,
            "choices": json.dumps(cell, ensure_ascii=False)[1:],
        }
        connection.execute(template_of.insert(), row)


def _point_from(table: str, column: str, other: str) -> None:
    # In one statement: SQLite adds no constraint to a table that is there.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = "INTEGER" if is_sqlite else "BIGINT"
    op.execute(
        f"ALTER TABLE {table} ADD COLUMN {column} {number}"
        f" CONSTRAINT fk_{table}_{column} REFERENCES {other} (id)"
    )
