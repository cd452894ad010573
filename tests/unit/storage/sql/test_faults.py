"""What an error of the database means, told by errors of real databases."""

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage.errors import DatabaseError, WrongDatabaseError
from storage.settings import Settings
from storage.sql.database import HEAD, Database, open_database, open_for_reading
from storage.sql.faults import Fault, fault_of
from storage.sql.schema import jobs, models
from tests.unit.old_database import with_other_schema

BOTH = pytest.mark.databases("sqlite", "postgresql")


@BOTH
def test_an_old_process_beside_a_newer_schema_is_told_so(database: Database) -> None:
    with (
        with_other_schema(database, "9999"),
        pytest.raises(
            WrongDatabaseError,
            match=rf"must keep schema {HEAD} while this runs, but .* has 9999 by now; "
            "start this again, with the nightsweep that changed it",
        ),
        database.read() as connection,
    ):
        connection.execute(sa.select(jobs)).all()


@BOTH
def test_a_process_from_before_the_times_of_jobs_finishes_no_job_without_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.sql.database.HEAD", "0014")
    with (
        pytest.raises(
            WrongDatabaseError,
            match=rf"must keep schema 0014 while this runs, but .* has {HEAD} by now; "
            "start this again, with the nightsweep that changed it",
        ),
        database.write() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO results (total_s) VALUES (1.5)")


@BOTH
def test_a_schema_that_was_changed_by_hand_is_told_of(database: Database) -> None:
    with (
        with_other_schema(database, HEAD),
        pytest.raises(
            WrongDatabaseError,
            match=rf"must have the tables of schema {HEAD}, but .* says: .*extras.*; "
            "undo what was changed in it by hand, else report",
        ),
        database.write() as connection,
    ):
        connection.execute(sa.update(jobs).values(extras="{}"))


@BOTH
def test_a_row_that_must_not_be_is_no_outage(database: Database) -> None:
    row = {"fingerprint": "f", "name": "n", "family": "sd", "embeds_guidance": False}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(sa.insert(models), [row, row])


def test_a_file_that_was_emptied_is_told_of(
    database: Database, settings: Settings
) -> None:
    database.close()
    path = settings.database_path
    assert path
    path.unlink()
    with (
        pytest.raises(
            WrongDatabaseError, match=r"nightsweep\.db has none by now; put it back, or"
        ),
        database.read() as connection,
    ):
        connection.execute(sa.select(jobs)).all()


def test_a_file_with_another_programs_tables_in_its_place_is_told_of(
    database: Database, settings: Settings
) -> None:
    database.close()
    path = settings.database_path
    assert path
    path.unlink()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE places (id integer)")
    with (
        pytest.raises(WrongDatabaseError, match="is another program's, with a table p"),
        database.read() as connection,
    ):
        connection.execute(sa.select(jobs)).all()


@pytest.mark.parametrize("opening", [open_database, open_for_reading])
def test_a_damaged_file_is_not_waited_for(
    database: Database, settings: Settings, opening
) -> None:
    database.close()
    path = settings.database_path
    assert path
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(
        WrongDatabaseError,
        match=r"must be whole, but .* says: .*malformed.*; restore a backup of it",
    ):
        opening(settings.database_url)


def test_a_locked_or_missing_file_is_an_outage(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.sql.engines.BUSY_TIMEOUT_S", 0)
    locked = open_database(settings.database_url)
    with (
        database.write(),
        pytest.raises(DatabaseError, match="database is locked"),
        locked.write(),
    ):
        pass
    locked.close()
    database.close()
    settings.home.rename(settings.home.with_name("away"))
    with pytest.raises(DatabaseError, match="unable to open"), database.read():
        pass


@BOTH
def test_a_process_without_a_free_connection_waits_as_in_an_outage(
    database: Database,
) -> None:
    engine = sa.create_engine(
        database.engine.url,
        poolclass=sa.QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0,
    )
    with (
        closing(Database(engine)) as full,
        full.read(),
        pytest.raises(
            DatabaseError,
            match=r"must have a connection of its own, but .* \(QueuePool limit of "
            r"size 1 .*\); wait until",
        ),
        full.write(),
    ):
        pass


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        (["SET statement_timeout = 20", "SELECT pg_sleep(9)"], "outage"),
        (["SET TRANSACTION READ ONLY", "CREATE TABLE a ()"], "outage"),
        (["SELECT pg_terminate_backend(pg_backend_pid())"], "outage"),
        (["SELECT * FROM nothing"], "mistake"),
        (["SELECT nothing FROM jobs"], "mistake"),
        (["SELEC"], "mistake"),
        (["SELECT 1 / 0"], "mistake"),
        (["SELECT count(*) FROM jobs FOR UPDATE"], "mistake"),
        (["CREATE VIEW mine AS SELECT key FROM images", "DROP VIEW images"], "mistake"),
        (["SELECT set_config('transaction_isolation', 'serializable', true)"],
         "mistake"),
        (["CREATE ROLE nobody_at_all", "SET ROLE nobody_at_all", "SELECT * FROM jobs"],
         "rights"),
    ],
)  # fmt: skip
def test_a_servers_answers_are_told_apart(
    database: Database, statements: list[str], fault: Fault
) -> None:
    with database.engine.connect() as connection:
        *before, last = statements
        for statement in before:
            connection.exec_driver_sql(statement)
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(last)
    assert fault_of(caught.value) == fault


def test_every_result_code_that_waits_is_one_that_may_end_by_itself() -> None:
    # By their numbers in sqlite3.h, so that a constant that is missing is seen.
    waited_for = {
        name
        for name in (
            *("BUSY", "LOCKED", "NOMEM", "READONLY", "IOERR", "FULL", "CANTOPEN"),
            *("PROTOCOL", "PERM", "INTERRUPT", "ABORT", "SCHEMA", "NOLFS", "INTERNAL"),
        )
        if fault_of(of_sqlite(getattr(sqlite3, f"SQLITE_{name}"))) == "outage"
    }
    assert len(waited_for) == 14
    assert fault_of(of_sqlite(sqlite3.SQLITE_IOERR_FSYNC)) == "outage"
    assert fault_of(of_sqlite(sqlite3.SQLITE_ERROR_MISSING_COLLSEQ)) == "mistake"
    assert fault_of(of_sqlite(sqlite3.SQLITE_CORRUPT_INDEX)) == "damage"


def of_sqlite(code: int) -> DBAPIError:
    orig = sqlite3.OperationalError("no matter")
    orig.sqlite_errorcode = code
    return DBAPIError("SELECT 1", None, orig)
