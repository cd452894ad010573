"""Archived sweeps: a state more.

Revision: 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

BEFORE = "'active', 'paused', 'cancelled', 'removed'"
AFTER = f"{BEFORE}, 'archived'"


def upgrade() -> None:
    """Allow the state."""
    if op.get_bind().dialect.name == "sqlite":
        _rewrite("sweeps", f"IN ({BEFORE})", f"IN ({AFTER})")
        return
    name = op.f("ck_sweeps_state")
    op.drop_constraint(name, "sweeps", type_="check")
    op.create_check_constraint(name, "sweeps", f"state IN ({AFTER})")


def _rewrite(table: str, before: str, after: str) -> None:
    """Change a CHECK of a table without copying its rows.

    SQLite has no statement for that. Its page on ALTER TABLE describes this way for
    changes that concern no content of the file; the views that are made next have all
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
