"""The SQL database: connections, transactions, and the schema brought up to date."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from storage.errors import NightsweepError, WrongDatabaseError
from storage.settings import sqlite_path
from storage.sql.engines import make_engine, writing
from storage.sql.faults import first_line, shown, translated
from storage.sql.recognition import recognize
from storage.sql.upgrading import upgrade

#: The newest migration; a test compares it with `storage/sql/migrations/versions`.
HEAD = "0025"


class Database:
    """One SQL database, and the only way to it.

    Threads may share it; a fork must open its own.
    """

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `open_database`."""
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # On SQLite, every transaction sees one state.
        server = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = engine.execution_options(**({} if self.is_sqlite else server))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and sees one state throughout.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with self._translated(), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; it commits at the end of the block.

        On SQLite it takes the write lock at once, so that it cannot fail halfway.

        Raises:
            DatabaseError: The database cannot be reached, or stayed locked.
        """
        with self._translated(), writing(self.engine) as connection:
            yield connection

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.engine):
                yield
        except (IntegrityError, DataError):
            raise  # a mistake in nightsweep
        except DBAPIError as exc:
            raise self._explained(exc) from exc

    def _explained(self, exc: DBAPIError) -> NightsweepError:
        """Return the error for tables or columns that differ from the schema."""
        where = shown(self.engine)
        try:
            with translated(self.engine), self.engine.connect() as connection:
                revision = recognize(connection)
        except NightsweepError as found:
            return found
        if revision == HEAD:
            msg = (
                f"The database must have the tables of schema {HEAD}, but {where} "
                f"says: {first_line(exc)}; undo what was changed in it by hand, else "
                "report this as a mistake in nightsweep."
            )
            return WrongDatabaseError(msg)
        way_out = "start this again, with the nightsweep that changed it"
        if revision is None:
            way_out = "put it back, or start this again for a new one"
        msg = (
            f"The database must keep schema {HEAD} while this runs, but {where} has "
            f"{revision or 'none'} by now; {way_out}."
        )
        return WrongDatabaseError(msg)


def open_database(url: str) -> Database:
    """Open the database at `url`, creating or upgrading its schema where needed.

    Raises:
        UsageError: The URL or its driver cannot be used.
        WrongDatabaseError: The database was made by a newer nightsweep or another
            program, which is left as it is.
        DatabaseError: The server or file cannot be reached.
    """
    database = Database(make_engine(url))
    with _closed_on_error(database):
        revision = _look_first(url, database)
        _refuse_newer(database.engine, revision)
        if revision != HEAD:
            upgrade(database.engine, head=HEAD)
            # A newer nightsweep may have upgraded it a moment earlier.
            _refuse_newer(database.engine, current_revision(database))
    return database


def open_existing(url: str) -> Database | None:
    """Open an existing database to write, upgrading its schema where needed.

    Returns None where there is no database yet, and makes none.

    Raises:
        UsageError: The URL or its driver cannot be used.
        WrongDatabaseError: As in `open_database`.
        DatabaseError: The server or file cannot be reached.
    """
    with closing(Database(make_engine(url))) as database:
        is_there = _look_first(url, database) is not None
    return open_database(url) if is_there else None


def open_for_reading(url: str, *, leave_no_trace: bool = False) -> Database | None:
    """Open an existing database without creating or changing anything in it.

    Returns None where there is no database yet.

    Args:
        url: Where it is.
        leave_no_trace: Leave SQLite's files untouched, and do not even make the two
            that a reader makes and removes. What others write meanwhile may go unseen,
            so use it for one short look.

    Raises:
        WrongDatabaseError: Its schema is an older or a newer one, or it is another
            program's.
        DatabaseError: The database cannot be read.
    """
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    is_closed = leave_no_trace or (path is not None and not os.access(path, os.W_OK))
    database = Database(make_engine(url, mode="closed" if is_closed else "reading"))
    with _closed_on_error(database):
        revision = current_revision(database)
        _refuse_newer(database.engine, revision)
        if revision == HEAD:
            return database
        if revision is not None:
            msg = (
                f"The database must have schema {HEAD}, but has {revision}; run any "
                "command that writes, such as `nightsweep submit` or `nightsweep "
                "verify --repair`, to upgrade it."
            )
            raise WrongDatabaseError(msg)
    database.close()
    return None


def current_revision(database: Database) -> str | None:
    """Read the schema's revision; None for an empty database.

    Raises:
        WrongDatabaseError: It is another program's.
        DatabaseError: The database cannot be read.
    """
    with database.read() as connection:
        return recognize(connection)


def utc_now() -> str:
    """Return the time as the database holds it: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds_between(earlier: str, later: str) -> float:
    """Return the time between two moments as the database holds them."""
    elapsed = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    return elapsed.total_seconds()


def insert_into(connection: Connection, table: sa.Table) -> Any:
    """Return an INSERT that knows `on_conflict_do_nothing` and `..._do_update`."""
    # Imported here: each costs a few milliseconds, and one is never used.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


@contextmanager
def _closed_on_error(database: Database) -> Iterator[None]:
    try:
        yield
    except BaseException:
        database.close()
        raise


def _look_first(url: str, database: Database) -> str | None:
    """Read the revision before anything is written, even a setting of SQLite's file."""
    path = sqlite_path(url)
    if path is None:
        return current_revision(database)
    if not path.exists():
        return None
    with closing(Database(make_engine(url, mode="reading"))) as looking:
        return current_revision(looking)


def _refuse_newer(engine: Engine, revision: str | None) -> None:
    if revision is not None and revision > HEAD:
        msg = (
            f"The database must have a schema of up to {HEAD}, which this nightsweep "
            f"knows, but {shown(engine)} has {revision}; install a newer "
            "nightsweep and start this again, or set NIGHTSWEEP_HOME or "
            "NIGHTSWEEP_DATABASE_URL to another place."
        )
        raise WrongDatabaseError(msg)
