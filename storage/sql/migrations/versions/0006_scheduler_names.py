"""Scheduler names: all that mean a scheduler on a model, to find images by each.

Revision: 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table; it stays empty for what is there, whose names may be wrong."""
    op.create_table(
        "scheduler_names",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("scheduler_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_scheduler_names_model_id")
        ),
        sa.ForeignKeyConstraint(
            ["scheduler_id"],
            ["schedulers.id"],
            name=op.f("fk_scheduler_names_scheduler_id"),
        ),
        sa.PrimaryKeyConstraint(
            "model_id", "scheduler_id", "name", name=op.f("pk_scheduler_names")
        ),
    )
