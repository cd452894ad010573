"""Steps in hand: how far workers are with the images that they paint.

Revision: 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; workers of before have nothing in hand."""
    part = sa.Column("in_hand", sa.Float(53), nullable=False, server_default="0")
    op.add_column("workers", part)
