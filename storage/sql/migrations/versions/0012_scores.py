"""Scores: what is asked of an image, who computes it, and what came out.

Revision: 0012.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = "('waiting', 'pending', 'leased', 'done', 'failed')"


def upgrade() -> None:
    """Make the tables; scores of before become those of a metric without a version."""
    op.execute("CREATE TABLE scores_before AS SELECT * FROM scores")
    op.drop_table("scores")
    metrics = _make_metrics()
    _make_scores()
    _carry_over(metrics)
    op.drop_table("scores_before")
    # In one statement: SQLite adds no constraint to a table that is there.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = "INTEGER" if is_sqlite else "BIGINT"
    op.execute(
        f"ALTER TABLE sweeps ADD COLUMN reference_of {number}"
        " CONSTRAINT fk_sweeps_reference_of REFERENCES sweeps (id)"
    )


def _make_metrics() -> sa.Table:
    return op.create_table(
        "metrics",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_fingerprint", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("higher_is_better", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metrics"),
        sa.UniqueConstraint("digest", name="uq_metrics_digest"),
    )


def _make_scores() -> None:
    op.create_table(
        "scores",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("metric_id", ID, nullable=False),
        sa.Column("reference_id", ID, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Float(53), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("scored_at", sa.String(32), nullable=True),
        sa.Column("pixel_sha256", sa.String(64), nullable=True),
        sa.Column("reference_sha256", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "metric_id", name="pk_scores"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_scores_job_id"),
        sa.ForeignKeyConstraint(
            ["metric_id"], ["metrics.id"], name="fk_scores_metric_id"
        ),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["jobs.id"], name="fk_scores_reference_id"
        ),
        sa.CheckConstraint(f"state IN {STATES}", name=op.f("ck_scores_state")),
    )
    op.create_index("ix_scores_metric_id_value", "scores", ["metric_id", "value"])
    indexes = {
        "pending": (["metric_id", "job_id"], "state = 'pending'"),
        "leased": (["lease_until"], "state = 'leased'"),
        "waiting": (["reference_id"], "state = 'waiting'"),
        "compared": (["reference_id"], "reference_id IS NOT NULL"),
    }
    for name, (columns, condition) in indexes.items():
        which = sa.text(condition)
        op.create_index(
            f"ix_scores_{name}",
            "scores",
            columns,
            sqlite_where=which,
            postgresql_where=which,
        )


def _carry_over(metrics: sa.Table) -> None:
    connection = op.get_bind()
    kinds = connection.exec_driver_sql(
        "SELECT DISTINCT metric, model FROM scores_before ORDER BY metric, model"
    )
    for name, model in kinds.all():
        identity = [name, "", model, "", {}]
        text = json.dumps(identity, separators=(",", ":"), ensure_ascii=False)
        row = {
            "digest": hashlib.sha256(text.encode()).hexdigest()[:32],
            "name": name,
            "source": name,
            "version": "",
            "model": model,
            "model_fingerprint": "",
            "reference": "{}",
            "higher_is_better": True,
        }
        connection.execute(metrics.insert(), row)
    connection.exec_driver_sql(
        "INSERT INTO scores (job_id, metric_id, state, value, attempts, deaths)"
        " SELECT scores_before.job_id, metrics.id, 'done', scores_before.value, 0, 0"
        " FROM scores_before JOIN metrics ON metrics.name = scores_before.metric"
        " AND metrics.model = scores_before.model"
    )
