"""Told sweeps: whether all jobs of a sweep know what it wants.

Revision: 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; every sweep of before is told once more."""
    for name, count in (("changes", "1"), ("told", "0")):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default=count)
        op.add_column("sweeps", column)
