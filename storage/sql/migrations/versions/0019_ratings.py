"""Ratings: what people say of images, and which of two they prefer.

Revision: 0019.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ratings",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("rated_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "who", name="pk_ratings"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_ratings_job_id"),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("ck_ratings_stars")),
        sa.CheckConstraint(
            "verdict IN ('accepted', 'rejected')", name=op.f("ck_ratings_verdict")
        ),
    )
    op.create_table(
        "votes",
        sa.Column("id", ID, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("axis", sa.Text(), nullable=False),
        sa.Column("job_a", ID, nullable=False),
        sa.Column("job_b", ID, nullable=False),
        sa.Column("winner", sa.String(3), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("voted_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_votes"),
        sa.ForeignKeyConstraint(["job_a"], ["jobs.id"], name="fk_votes_job_a"),
        sa.ForeignKeyConstraint(["job_b"], ["jobs.id"], name="fk_votes_job_b"),
        sa.CheckConstraint("winner IN ('a', 'b', 'tie')", name=op.f("ck_votes_winner")),
    )
