"""Back ends: which of them a worker paints with.

Revision: 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; workers of earlier versions paint with torch."""
    column = sa.Column(
        "backend", sa.String(length=16), nullable=False, server_default="torch"
    )
    op.add_column("workers", column)
