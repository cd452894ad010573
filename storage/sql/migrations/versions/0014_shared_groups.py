"""Shared groups: jobs with and without guidance are in one group.

Revision: 0014.
"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the groups of the jobs; workers will note again what they cannot make."""
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "SELECT jobs.group_key, models.fingerprint, jobs.backend, jobs.dtype, "
            "jobs.width, jobs.height, jobs.generator, jobs.extras FROM jobs "
            "JOIN models ON models.id = jobs.model_id WHERE jobs.id IN "
            "(SELECT min(id) FROM jobs GROUP BY group_key)"
        )
    ).all()
    for old, *settings, extras in found:
        is_strict = bool(json.loads(extras).get("strict", False))
        connection.execute(
            sa.text("UPDATE jobs SET group_key = :new WHERE group_key = :old"),
            {"old": old, "new": _group_key([*settings, is_strict])},
        )
    op.execute("DELETE FROM blocks")


def _group_key(settings: list[Any]) -> str:
    text = json.dumps(settings, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
