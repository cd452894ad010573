"""Blocks of one worker each: who could not make a group, and when it tries again.

Revision: 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table anew; workers say again what they cannot make."""
    op.drop_table("blocks")
    op.create_table(
        "blocks",
        sa.Column("group_key", sa.String(16), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
        sa.Column("retry_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("group_key", "host", "worker", name="pk_blocks"),
    )
