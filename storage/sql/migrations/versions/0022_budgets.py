"""What stops sweeps: limits on time and images, and what was used of them.

Revision: 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "budgets",
        sa.Column("sweep_id", ID, autoincrement=False, nullable=False),
        sa.Column("gpu_s", sa.Float(53), nullable=True),
        sa.Column("until", sa.Float(53), nullable=True),
        sa.Column("images", sa.BigInteger, nullable=True),
        sa.Column("used_s", sa.Float(53), nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("reached", sa.String(16), nullable=True),
        sa.PrimaryKeyConstraint("sweep_id", name="pk_budgets"),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweeps.id"], name="fk_budgets_sweep_id"
        ),
    )
