"""Submissions under way: how many jobs a sweep gets until all are stored.

Revision: 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL says nothing of sweeps from before."""
    op.add_column("sweeps", sa.Column("submitting", sa.BigInteger(), nullable=True))
