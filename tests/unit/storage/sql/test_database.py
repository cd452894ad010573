"""The database file: its schema, who may open it, and what is said when nobody can."""

import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.errors import DatabaseError, UsageError, WrongDatabaseError
from storage.job import Model
from storage.jobs.sweeps import save_sweep
from storage.settings import Settings
from storage.sql import database as module
from storage.sql.database import (
    HEAD,
    Database,
    current_revision,
    open_database,
    open_for_reading,
)
from storage.sql.model_places import DatabasePlaces
from storage.sql.partial_indexes import metadata
from storage.sql.schema import jobs, sweeps
from storage.sql.views import VIEWS
from tests.builders import make_job, plan_seeds, submit
from tests.unit.old_database import make_old, read_old, read_scores

VERSIONS = Path(module.__file__).parent / "migrations" / "versions"


def run_python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end_of(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = process.communicate()
    return process.returncode, said


def set_revision(database: Database, revision: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE alembic_version SET version_num = ?", (revision,)
        )


def files_of(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.home.glob("nightsweep.db*"))


def test_the_migrations_make_the_tables_of_the_schema(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_same_checks_and_conditions_of_indexes(
    database: Database,
) -> None:
    # What the comparison above does not see.
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    query = "SELECT name, sql FROM sqlite_schema WHERE tbl_name <> 'alembic_version'"
    with database.read() as one, engine.connect() as other:
        made: dict[str, str] = dict(one.exec_driver_sql(query).all())
        wanted: dict[str, str] = dict(other.exec_driver_sql(query).all())
    engine.dispose()
    assert set(made) - set(wanted) == set(VIEWS)
    for name, sql in wanted.items():
        assert lines_of(made[name]) == lines_of(sql)


def lines_of(sql: str | None) -> list[str]:
    # A column that came later stands behind the one before it, on the same line, and
    # has its foreign key with it.
    text = re.sub(
        r"(\w+) INTEGER (CONSTRAINT \w+) REFERENCES",
        r"\1 INTEGER, \2 FOREIGN KEY(\1) REFERENCES",
        sql or "",
    )
    return sorted(line.strip() for line in re.split(r",\s+|\n", text))


@pytest.mark.parametrize(
    ("view", "query"),
    [(name, query()) for name, query in VIEWS.items()],
)
def test_a_view_has_the_columns_of_its_query_in_order(
    database: Database, view: str, query: "sa.Select[tuple[object, ...]]"
) -> None:
    with database.read() as connection:
        shown = list(
            connection.execute(
                sa.select(sa.text("*")).select_from(sa.table(view))
            ).keys()
        )
        asked = list(connection.execute(query).keys())
    assert shown == asked


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    newest = max(path.name for path in VERSIONS.glob("[0-9]*.py"))
    assert newest.partition("_")[0] == HEAD


def test_a_new_database_has_the_newest_schema(database: Database) -> None:
    assert current_revision(database) == HEAD


def test_an_older_database_is_upgraded_with_its_rows(settings: Settings) -> None:
    make_old(settings.database_url)
    database = open_database(settings.database_url)
    assert current_revision(database) == HEAD
    image, member = read_old(database)
    assert (image["path"], image["total_s"], image["gpu"]) == ("ab/k.png", 1.5, "CPU")
    assert (image["engine"], image["decode_dtype"]) == ("plain", "")
    assert (image["model"], image["model_revision"]) == ("builtin:shapes", None)
    assert member == {**image, "position": 7, "scheduler_label": None, "cell": "{}"}
    with database.read() as connection:
        assert connection.execute(sa.select(jobs.c.total_s)).scalars().all() == [1.5]
    carried = ("k", "clip", "", "small", "{}", "higher", "done", 0.25)
    assert read_scores(database) == [carried]
    database.close()


def test_jobs_of_an_older_database_are_in_the_groups_of_new_ones(
    settings: Settings,
) -> None:
    make_old(settings.database_url)
    database = open_database(settings.database_url)
    alike = make_job(
        model=Model(fingerprint="f", name="builtin:shapes"),
        dtype="float16",
        width=512,
        height=512,
    )
    with database.read() as connection:
        groups = connection.execute(sa.select(jobs.c.group_key)).scalars().all()
    assert groups == [alike.group]
    database.close()


def test_a_model_of_an_older_database_is_known_by_its_place(settings: Settings) -> None:
    make_old(settings.database_url)
    database = open_database(settings.database_url)
    model = Model(fingerprint="f", name="builtin:shapes")
    assert DatabasePlaces(database).of(model) == [model]
    # The place is that of a later submission, and no second one.
    submit(database, plan_seeds(1, model=model))
    with database.read() as connection:
        query = "SELECT name, first_at < last_at FROM model_places"
        assert connection.exec_driver_sql(query).all() == [("builtin:shapes", True)]
    database.close()


def test_an_upgraded_database_has_the_tables_of_a_new_one(settings: Settings) -> None:
    make_old(settings.database_url)
    database = open_database(settings.database_url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_an_up_to_date_database_is_opened_without_alembic(
    database: Database, settings: Settings
) -> None:
    code = """if True:
        import sys
        from storage.sql.database import open_database
        open_database(sys.argv[1]).close()
        assert "alembic" not in sys.modules
        assert "sqlalchemy.orm" not in sys.modules
    """
    assert end_of(run_python(code, settings.database_url)) == (0, "")


def test_several_processes_may_make_one_database_at_once(settings: Settings) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from storage.sql.database import open_database
        import alembic.command
        print("ready", flush=True)
        while not Path(sys.argv[2]).exists():
            pass
        open_database(sys.argv[1]).close()
    """
    go = settings.home / "go"
    together = [run_python(code, settings.database_url, go) for _ in range(3)]
    for process in together:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    assert [end_of(process) for process in together] == [(0, "")] * 3


def test_a_file_that_is_new_to_two_processes_is_waited_for(settings: Settings) -> None:
    path = settings.home / "nightsweep.db"
    # SQLite gives no time to whoever asks for a log while another begins to write.
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.3, other.rollback)
    end.start()
    open_database(settings.database_url).close()
    end.join()
    other.close()


def test_reading_where_no_database_is_makes_none(settings: Settings) -> None:
    assert open_for_reading(settings.database_url) is None
    assert files_of(settings) == []


def test_reading_an_empty_file_finds_no_database(settings: Settings) -> None:
    (settings.home / "nightsweep.db").touch()
    assert open_for_reading(settings.database_url) is None
    assert files_of(settings) == ["nightsweep.db"]


def test_a_look_without_a_trace_makes_no_file(
    database: Database, settings: Settings
) -> None:
    database.close()
    reader = open_for_reading(settings.database_url, leave_no_trace=True)
    assert reader is not None
    with reader.read() as connection:
        assert connection.execute(sa.select(sweeps)).all() == []
        assert files_of(settings) == ["nightsweep.db"]
    reader.close()
    assert files_of(settings) == ["nightsweep.db"]


def test_reading_leaves_no_file_behind(database: Database, settings: Settings) -> None:
    database.close()
    reader = open_for_reading(settings.database_url)
    assert reader is not None
    with reader.read() as connection:
        assert connection.execute(sa.select(sweeps)).all() == []
    reader.close()
    assert files_of(settings) == ["nightsweep.db"]


def test_a_reader_sees_a_writer_that_began_after_it(
    database: Database, settings: Settings
) -> None:
    database.close()
    reader = open_for_reading(settings.database_url)
    assert reader is not None
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO models (fingerprint, family, embeds_guidance) "
            "VALUES ('f', 'sd', 0)"
        )
    with reader.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM models").scalar() == 1
    reader.close()


def test_a_reader_sees_what_a_writer_has_committed(
    database: Database, settings: Settings
) -> None:
    insert = "INSERT INTO models VALUES (1, 'f', 'sd', 0, NULL)"
    with database.write() as connection:
        connection.exec_driver_sql(insert)
    reader = open_for_reading(settings.database_url)
    assert reader is not None
    with reader.read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM models").scalar() == 1
    reader.close()


@pytest.mark.parametrize("is_idle", [True, False])
def test_nothing_can_be_written_through_a_reader(
    database: Database, settings: Settings, *, is_idle: bool
) -> None:
    if is_idle:
        database.close()
    reader = open_for_reading(settings.database_url)
    assert reader is not None
    with (
        pytest.raises(DatabaseError, match="attempt to write a readonly database"),
        reader.write() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM jobs")
    reader.close()


@pytest.mark.databases("sqlite", "postgresql")
def test_a_read_sees_one_state_throughout(database: Database) -> None:
    count = sa.select(sa.func.count()).select_from(sweeps)
    with database.read() as connection:
        assert connection.scalar(count) == 0
        save_sweep(database, "night", spec="one", axes={})
        assert connection.scalar(count) == 0
    with database.read() as connection:
        assert connection.scalar(count) == 1


def test_a_failed_block_writes_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO prompts VALUES (1, 'd', 't', '')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM prompts").all() == []


def test_a_job_must_belong_to_rows_that_exist(database: Database) -> None:
    with (
        pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"),
        database.write() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO sweep_jobs VALUES (1,1,0,'','',1,1)")


@pytest.mark.parametrize("opening", [open_database, open_for_reading])
def test_a_database_of_a_newer_nightsweep_is_refused(
    database: Database, settings: Settings, opening: Callable[[str], object]
) -> None:
    set_revision(database, "9999")
    with pytest.raises(
        WrongDatabaseError,
        match=r"schema of up to \d{4}, .* has 9999; install a newer nightsweep and st",
    ):
        opening(settings.database_url)


def test_a_reader_asks_for_an_upgrade_of_an_older_database(
    database: Database, settings: Settings
) -> None:
    set_revision(database, "0000")
    with pytest.raises(
        WrongDatabaseError, match="has 0000; run any command that writes"
    ):
        open_for_reading(settings.database_url)


def test_a_file_that_is_no_database_is_named(settings: Settings) -> None:
    (settings.home / "nightsweep.db").write_text("not a database at all\n" * 99)
    with pytest.raises(
        WrongDatabaseError, match=r"nightsweep\.db says: file is not a database; rest"
    ):
        open_database(settings.database_url)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/nightsweep.db"
    with pytest.raises(DatabaseError, match=r"missing/nightsweep\.db says: unable to"):
        open_database(url)


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "oracel://u:geheim@host/db", "mysql+nodriver://u:geheim@host/d"),
        *("oracle://u:geheim@host/db", "mysql://u:geheim@host/db"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="must be a SQLAlchemy URL") as caught:
        open_database(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "end", ["?timeout=3", "?mode=ro&uri=true", "?timeout=", "?check_same_thread=a?b"]
)
def test_options_of_sqlite_are_refused(tmp_path: Path, end: str) -> None:
    url = f"sqlite:///{tmp_path}/nightsweep.db{end}"
    for use in (open_database, open_for_reading):
        with pytest.raises(UsageError, match="no options, which nightsweep") as caught:
            use(url)
        assert str(caught.value).endswith(f"; leave out {end!r}.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://file.db"),
        *("sqlite+pysqlite:////a/file.db", "SQLite:////a/file.db"),
    ],
)
def test_a_url_of_sqlite_must_name_a_file(url: str) -> None:
    with pytest.raises(UsageError, match="must name a file that every command can"):
        open_database(url)


def test_a_path_with_unusual_characters_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "näh sweep %20+1 ?a=b"
    folder.mkdir()
    url = f"sqlite:///{folder}/nightsweep.db"
    open_database(url).close()
    reader = open_for_reading(url)
    assert reader is not None
    reader.close()
    assert [path.name for path in folder.iterdir()] == ["nightsweep.db"]


def test_two_writers_wait_for_each_other(
    database: Database, settings: Settings
) -> None:
    code = """if True:
        import sys
        from storage.sql.database import open_database
        database = open_database(sys.argv[1])
        for _ in range(50):
            with database.write() as connection:
                count = connection.exec_driver_sql("SELECT family FROM models").scalar()
                connection.exec_driver_sql(
                    "UPDATE models SET family = ?", (str(int(count) + 1),)
                )
    """
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO models VALUES (1, 'f', '0', 0, NULL)")
    both = [run_python(code, settings.database_url) for _ in range(2)]
    assert [end_of(process) for process in both] == [(0, "")] * 2
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT family FROM models").scalar()
    assert found == "100"
