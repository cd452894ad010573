"""Pipelines: which class of diffusers a model is for.

It decides the neutral values of parameters such as `call.true_cfg_scale`.

Revision: 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the next submission of a model fills it in."""
    op.add_column("models", sa.Column("pipeline", sa.Text(), nullable=True))
