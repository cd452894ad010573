"""Whether a database is nightsweep's own, empty, or another program's.

Its tables decide. A revision does not: other programs use Alembic too, and may call
their revisions 0001.
"""

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import WrongDatabaseError
from storage.sql.faults import shown
from storage.sql.schema import metadata
from storage.sql.views import VIEWS

#: The tables of every schema of nightsweep, from the first one on.
OURS = frozenset(
    (
        *("blocks", "environments", "jobs", "models", "prompts", "results"),
        *("schedulers", "scores", "sweep_jobs", "sweeps"),
    )
)
#: The names that nightsweep needs; another program must not use them.
KNOWN_TABLES = OURS | metadata.tables.keys() | VIEWS.keys()
#: The table in which Alembic notes the revision.
VERSIONS = "alembic_version"

_REVISION = re.compile(r"\d{4}")


def recognize(connection: Connection) -> str | None:
    """Return the revision of the schema; None for an empty database.

    Raises:
        WrongDatabaseError: It is another program's.
    """
    inspector = sa.inspect(connection)
    names = {*inspector.get_table_names(), *inspector.get_view_names()}
    revisions = _revisions(connection) if VERSIONS in names else []
    if not revisions:
        _refuse_strangers(connection, names - {VERSIONS})
        return None
    revision, *others = revisions
    if others or not names >= OURS or not _REVISION.fullmatch(revision):
        _refuse(connection, f"the revision {', '.join(revisions)} of its own")
    return revision


def _revisions(connection: Connection) -> list[str]:
    rows = connection.exec_driver_sql(f"SELECT version_num FROM {VERSIONS}")  # noqa: S608
    return sorted(map(str, rows.scalars()))


def _refuse_strangers(connection: Connection, names: set[str]) -> None:
    # Programs may share a database of a server, but not the names in it.
    theirs = names if connection.dialect.name == "sqlite" else names & KNOWN_TABLES
    if theirs:
        _refuse(connection, f"a table {min(theirs)}")


def _refuse(connection: Connection, what: str) -> None:
    msg = (
        "The database must be nightsweep's own or empty, but "
        f"{shown(connection.engine)} is another program's, with {what}; name another "
        "with NIGHTSWEEP_DATABASE_URL."
    )
    raise WrongDatabaseError(msg)
