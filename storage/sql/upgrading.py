"""Upgrading: the migrations run in one transaction, after a copy of a SQLite file."""

import logging
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from storage.errors import WrongDatabaseError
from storage.sql.backups import copy_before_upgrade
from storage.sql.engines import writing
from storage.sql.faults import first_line, shown, translated
from storage.sql.foreign_views import set_aside
from storage.sql.living_workers import refuse_living_workers
from storage.sql.recognition import recognize
from storage.sql.views import drop_views, make_views

#: The last revision whose migrations make views; later migrations know no views.
LAST_WITH_VIEWS = "0010"
#: Names the advisory lock under which one process migrates a PostgreSQL database.
MIGRATION_LOCK = 7_326_117

log = logging.getLogger(__name__)


def upgrade(engine: Engine, *, head: str) -> None:
    """Make the tables of an empty database, or upgrade those of an older schema.

    It is one transaction. If several processes begin at once, one upgrades, and the
    others find it done, perhaps to a newer schema than theirs.

    Args:
        engine: To a database of ours, or an empty one.
        head: The newest schema.

    Raises:
        DatabaseError: Workers of an older nightsweep live, a SQLite file cannot be
            copied first, or the database cannot be reached.
        WrongDatabaseError: Something that others made in it is in the way.
    """
    try:
        with translated(engine), writing(engine) as connection:
            if engine.dialect.name != "sqlite":
                _wait_to_migrate(connection)
            before = recognize(connection)
            if before and before >= head:
                return  # another process was faster
            copy = _prepare(connection, before, head=head) if before else None
            _run_migrations(connection)
    except DBAPIError as exc:
        # PostgreSQL names the obstacle in a detail.
        detail = getattr(getattr(exc.orig, "diag", None), "message_detail", None)
        said = first_line(exc) + (f" ({detail})" if detail else "")
        msg = (
            f"The database must have nothing in the way of schema {head}, but "
            f"{shown(engine)} says: {said}; drop or rename what others made in it and "
            "start this again; nothing was changed."
        )
        raise WrongDatabaseError(msg) from exc
    if before:
        _tell(engine, before, head=head, copy=copy)


def _prepare(connection: Connection, revision: str, *, head: str) -> Path | None:
    """Refuse an upgrade under workers, and copy a SQLite file; return the copy."""
    refuse_living_workers(connection, revision=revision, head=head)
    if connection.dialect.name != "sqlite":
        return None
    path = Path(str(connection.engine.url.database))
    return copy_before_upgrade(connection, path, revision=revision)


def _run_migrations(connection: Connection) -> None:
    # Imported here: Alembic costs 0.3 s, and only an old schema needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with set_aside(connection):
        command.upgrade(config, LAST_WITH_VIEWS)
        drop_views(connection)
        command.upgrade(config, "head")
        make_views(connection)


def _tell(engine: Engine, before: str, *, head: str, copy: Path | None) -> None:
    # In a command that sets up no logging, Python writes this to standard error.
    log.warning(
        "Upgraded the database %s from schema %s to %s%s",
        shown(engine),
        before,
        head,
        f"; a copy of it as it was before is {copy}." if copy else ".",
        extra={"action": "database_upgraded"},
    )


def _wait_to_migrate(connection: Connection) -> None:
    # Wait for another migration without limit, then for tables with the usual limit.
    usual = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    connection.execute(sa.select(sa.func.set_config("lock_timeout", "0", True)))
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    connection.execute(sa.select(sa.func.set_config("lock_timeout", usual, True)))
