"""Evicted images and removed sweeps: two states more, and which files are to go.

Revision: 0020.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: Table to its states, before and after.
STATES = {
    "jobs": (
        "'pending', 'leased', 'done', 'failed', 'quarantined'",
        "'pending', 'leased', 'done', 'failed', 'quarantined', 'evicted'",
    ),
    "sweeps": (
        "'active', 'paused', 'cancelled'",
        "'active', 'paused', 'cancelled', 'removed'",
    ),
}


def upgrade() -> None:
    """Allow the states, and make the table and its index."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, (before, after) in STATES.items():
        if is_sqlite:
            _rewrite(table, f"IN ({before})", f"IN ({after})")
        else:
            name = op.f(f"ck_{table}_state")
            op.drop_constraint(name, table, type_="check")
            op.create_check_constraint(name, table, f"state IN ({after})")
    op.create_table(
        "removals",
        sa.Column("job_id", ID, autoincrement=False, nullable=False),
        sa.Column("folder_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_removals"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_removals_job_id"),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name="fk_removals_folder_id"
        ),
    )
    evicted = sa.text("state = 'evicted'")
    op.create_index(
        "ix_jobs_evicted",
        "jobs",
        ["id"],
        sqlite_where=evicted,
        postgresql_where=evicted,
    )


def _rewrite(table: str, before: str, after: str) -> None:
    """Change a CHECK of a table without copying its rows.

    SQLite has no statement for that. Its page on ALTER TABLE describes this way for
    changes that concern no content of the file; the table that is made next has all
    other connections read the schema anew.
    """
    op.execute("PRAGMA writable_schema = ON")
    changed = op.get_bind().execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after) "
            "WHERE type = 'table' AND name = :name AND instr(sql, :before) > 0"
        ),
        {"name": table, "before": before, "after": after},
    )
    op.execute("PRAGMA writable_schema = RESET")
    if changed.rowcount != 1:
        msg = f"{table} must have the check {before!r}, but has another"
        raise RuntimeError(msg)
