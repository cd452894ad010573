"""Nights: why a sweep was paused, what stays free, and who is at work.

Revision: 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("sweeps", sa.Column("reason", sa.Text()))
    op.add_column(
        "sweeps",
        sa.Column(
            "min_free_bytes", sa.BigInteger(), nullable=False, server_default="0"
        ),
    )
    op.add_column(
        "sweeps",
        sa.Column("judged", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "workers",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("images_per_s", sa.Float(53)),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("phase_at", sa.String(32), nullable=False),
        sa.Column("seen_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_workers"),
    )
