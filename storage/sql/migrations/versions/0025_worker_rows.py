"""How many rows of a worker's batches served a job.

Revision: 0025.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("rows_run", "rows_used"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("workers", column)
