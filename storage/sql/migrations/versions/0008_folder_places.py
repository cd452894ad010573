"""Folder places: where each host has an image folder.

Revision: 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Move the one place of each folder into a table that has one for each host."""
    places = op.create_table(
        "folder_places",
        sa.Column("folder_id", ID, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name="fk_folder_places_folder_id"
        ),
        sa.PrimaryKeyConstraint("folder_id", "host", name="pk_folder_places"),
    )
    query = sa.text("SELECT id, place, noted_at FROM folders")
    for row in op.get_bind().execute(query).all():
        # No name of a host has a colon.
        host, _, path = row.place.partition(":")
        values = {"host": host, "path": path, "noted_at": row.noted_at}
        op.bulk_insert(places, [{"folder_id": row.id, **values}])
    for column in ("place", "noted_at"):
        op.drop_column("folders", column)
