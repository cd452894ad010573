"""Which groups run compiled networks.

Revision: 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "compilations",
        sa.Column("group_key", sa.String(16), primary_key=True),
        sa.Column("model_fingerprint", sa.String(32), nullable=False),
        sa.Column("gpu", sa.Text, nullable=False),
        sa.Column("compiled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("sweep_id", ID, sa.ForeignKey("sweeps.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("cost_s", sa.Float(53), nullable=True),
        sa.Column("decided_at", sa.String(32), nullable=False),
    )
