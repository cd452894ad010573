"""Leases by owner: what a worker holds is found without a look at what others hold.

Nothing finds them by `lease_until` any more, so PostgreSQL need not touch an index when
a worker renews its leases.

Revision: 0024.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two indexes anew."""
    leased = sa.text("state = 'leased'")
    for table in ("jobs", "scores"):
        name = f"ix_{table}_leased"
        op.drop_index(name, table)
        op.create_index(
            name, table, ["owner"], sqlite_where=leased, postgresql_where=leased
        )
