"""Owners of sweeps: what their images took, their quotas, and whose turn it is.

Revision: 0023.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
RUNNABLE = sa.text("state = 'pending' AND priority IS NOT NULL")


def upgrade() -> None:
    """Make the tables; sweeps from before, and their jobs, belong to nobody."""
    op.create_table(
        "owners",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=True),
        sa.Column("lift_s", sa.Float(53), nullable=False, server_default="0"),
        sa.Column("gpu_s", sa.Float(53), nullable=True),
        sa.Column("period", sa.String(8), nullable=True),
        sa.Column("ends_at", sa.Float(53), nullable=True),
        sa.Column("base_s", sa.Float(53), nullable=False, server_default="0"),
        sa.Column("base_made", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_owners"),
        sa.UniqueConstraint("name", name="uq_owners_name"),
        sa.CheckConstraint(
            "period IN ('day', 'week', 'month')", name=op.f("ck_owners_period")
        ),
    )
    op.execute("INSERT INTO owners (id) VALUES (0)")
    op.create_table(
        "owner_uses",
        sa.Column("owner_id", ID, nullable=False, autoincrement=False),
        sa.Column("slot", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("used_s", sa.Float(53), nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["owners.id"], name="fk_owner_uses_owner_id"
        ),
        sa.PrimaryKeyConstraint("owner_id", "slot", name="pk_owner_uses"),
    )
    op.add_column(
        "sweeps", sa.Column("owner_id", ID, nullable=False, server_default="0")
    )
    op.add_column("jobs", sa.Column("payer_id", ID, nullable=False, server_default="0"))
    op.drop_index("ix_jobs_runnable", table_name="jobs")
    op.create_index(
        "ix_jobs_runnable",
        "jobs",
        ["group_key", "priority", "payer_id", "position"],
        sqlite_where=RUNNABLE,
        postgresql_where=RUNNABLE,
    )
