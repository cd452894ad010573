"""Another program's database is named as such, and nothing in it is touched."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from producer.cli import cli
from storage.errors import WrongDatabaseError
from storage.settings import Settings, read_settings
from storage.sql import upgrading
from storage.sql.database import (
    HEAD,
    Database,
    current_revision,
    open_database,
    open_for_reading,
)
from storage.sql.engines import make_engine
from storage.sql.recognition import KNOWN_TABLES, OURS
from storage.sql.upgrading import LAST_WITH_VIEWS
from storage.store import Store
from tests.matrices import sample
from tests.unit.old_database import make_old

VERSION = "CREATE TABLE alembic_version (version_num text)"
JOBS = "CREATE TABLE jobs (id integer, what text)"
IS_THEIRS = r"must be nightsweep's own or empty, but .* is another program's, with "


def of_revision(revision: str) -> tuple[str, ...]:
    insert = f"INSERT INTO alembic_version VALUES ('{revision}')"  # noqa: S608
    return (VERSION, insert)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Give an empty database, as another program has it; the settings name it."""
    url = f"sqlite:///{tmp_path}/theirs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("server").make_database()
    monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", url)
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def fill(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def tables_of(engine: Engine) -> list[str]:
    inspector = sa.inspect(engine)
    return sorted([*inspector.get_table_names(), *inspector.get_view_names()])


def content_of(engine: Engine) -> object:
    """Give what must not change: all bytes of a file, the tables on a server."""
    engine.dispose()
    path = engine.url.database
    if engine.dialect.name == "sqlite":
        folder = Path(str(path)).parent
        return [(each.name, each.read_bytes()) for each in folder.glob("theirs*")]
    return tables_of(engine)


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (of_revision("0001_initial"), "the revision 0001_initial of its own"),
        (of_revision("0001"), "the revision 0001 of its own"),
        ((*of_revision(HEAD), JOBS), f"the revision {HEAD} of its own"),
        (of_revision("a1b2c3"), "the revision a1b2c3 of its own"),
        ((*of_revision("0001"), *of_revision("0002")[1:]), "the revision 0001, 0002 "),
        ((JOBS,), "a table jobs"),
        ((VERSION, JOBS), "a table jobs"),
        (("CREATE VIEW images AS SELECT 1 AS key",), "a table images"),
    ],
)
def test_a_database_of_another_program_is_left_as_it_is(
    empty: Engine, statements: tuple[str, ...], what: str
) -> None:
    fill(empty, *statements)
    before = content_of(empty)
    for opening in (open_database, open_for_reading):
        with pytest.raises(WrongDatabaseError, match=IS_THEIRS + what):
            opening(url_of(empty))
    assert content_of(empty) == before


@pytest.mark.parametrize(
    "words",
    [
        *(["submit", "spec.yaml"], ["run", "spec.yaml", "--device", "cpu"]),
        *(["find"], ["status"], ["worker", "--device", "cpu"], ["verify", "--repair"]),
        *(["plan", "spec.yaml"], ["pause", "night"], ["show", "abc"]),
    ],
    ids=lambda words: words[0],
)
def test_every_command_says_whose_database_it_is(
    empty: Engine, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(
        'name: h\nbase: {model: "builtin:shapes", prompt: "a red circle", steps: 2}\n'
    )
    fill(empty, *of_revision("0001_initial"), JOBS)
    before = content_of(empty)
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert said.exit_code == 2
    assert said.stderr.count("is another program's, with the revision 0001_init") == 1
    assert "name another with NIGHTSWEEP_DATABASE_URL." in said.stderr
    assert content_of(empty) == before


def test_a_doctor_advises_no_upgrade_of_another_programs_database(
    empty: Engine,
) -> None:
    fill(empty, *of_revision("0001"))
    before = content_of(empty)
    said = CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False)
    checks = [json.loads(line) for line in said.stdout.splitlines()]
    (check,) = [check for check in checks if check["check"] == "SQL"]
    assert check["verdict"] == "fail"
    assert "is another program's, with the revision 0001 of its own" in check["detail"]
    assert "upgrade" not in said.stdout
    assert content_of(empty) == before


def test_a_notebook_is_told_whose_database_it_is(empty: Engine) -> None:
    fill(empty, JOBS)
    if empty.dialect.name == "sqlite":
        with pytest.raises(WrongDatabaseError, match=IS_THEIRS):
            Store(read_settings()).sql("SELECT * FROM images")
    else:  # an empty place to a reader, since programs may share a server's database
        with pytest.raises(WrongDatabaseError, match=IS_THEIRS):
            Store(read_settings()).find()


def test_a_file_with_tables_is_not_ours_whatever_they_are_called(
    tmp_path: Path,
) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE places (id integer)")
    with pytest.raises(WrongDatabaseError, match=f"{IS_THEIRS}a table places"):
        open_database(f"sqlite:///{path}")


def test_a_servers_database_may_hold_other_tables_too(server) -> None:
    url = server.make_database()
    engine = sa.create_engine(url)
    fill(engine, "CREATE TABLE spatial_ref_sys (id integer)")
    engine.dispose()
    open_database(url).close()
    assert "spatial_ref_sys" in tables_of(engine)
    open_database(url).close()
    engine.dispose()


@pytest.mark.databases("sqlite", "postgresql")
def test_a_database_of_ours_may_be_given_other_tables(
    database: Database, settings: Settings
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE favourites (key text)")
    open_database(settings.database_url).close()
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE favourites")


#: The first, the last with views of its own, and the last: what is in between differs
#: in columns, which do not tell whose a database is.
TRIED = ("0001", LAST_WITH_VIEWS, HEAD)
MIGRATIONS = [*Path(upgrading.__file__).parent.glob("migrations/versions/0*.py")]


@pytest.mark.parametrize(
    "revision", sample(sorted(each.name[:4] for each in MIGRATIONS), TRIED)
)
def test_each_schema_of_ours_is_known_as_ours(empty: Engine, revision: str) -> None:
    make_old(url_of(empty), revision)
    opened = open_database(url_of(empty))
    assert current_revision(opened) == HEAD
    opened.close()


#: By the name of a sweep: its text, its revision, its cell, and whether the template
#: "a {cat|dog}" is known to be its own. The first one made the prompt.
SWEEPS = {
    "night": ("from a file", 1, {"prompt.1": "cat"}, True),
    "plain": ("prompt: a cat", 1, {"prompt": "a cat"}, False),
    "same": ("prompt: a {cat|dog}", 3, {"prompt.1": "cat"}, True),
    "shorter": ("a {cat|dog}, {a|the} cat", 1, {"prompt.1": "a"}, False),
    "longer": ("a {cat|dog}", 1, {"prompt.1": "cat", "prompt.2": "cat"}, False),
    "other": ("prompt: a {cat|fox}", 1, {"prompt.1": "cat"}, False),
    "file": ("from a file", 1, {"prompt.1": "cat"}, False),
}


def fill_sweeps(url: str, *, revision: int) -> None:
    engine = sa.create_engine(url)
    fill(
        engine,
        "UPDATE prompts SET template = 'a {cat|dog}', choices = '[\"cat\"]'",
        "DELETE FROM sweep_jobs",
        "UPDATE sweeps SET spec = 'from a file'",
    )
    sweep = sa.text(
        "INSERT INTO sweeps (id, name, revision, digest, spec, axes, state, priority,"
        " created_at) VALUES (:id, :name, 1, 'd', :spec, '{}', 'active', 5, '2026')"
    )
    member = sa.text(
        "INSERT INTO sweep_jobs (sweep_id, job_id, position, cell, revision)"
        " VALUES (:id, 1, 7, :cell, :revision)"
    )
    with engine.begin() as connection:
        for number, (name, (spec, own, cell, _)) in enumerate(SWEEPS.items(), start=1):
            if number > 1:
                values = {"id": number, "name": name, "spec": spec}
                connection.execute(sweep, values)
            row = {"id": number, "cell": json.dumps({"prompt": "a cat"} | cell)}
            row["revision"] = own if number > 1 else revision
            connection.execute(member, row)
    engine.dispose()


@pytest.mark.parametrize("revision", [1, 2])
def test_the_template_of_an_older_database_goes_to_the_sweeps_that_wrote_it(
    empty: Engine, revision: int
) -> None:
    make_old(url_of(empty), "0006")
    fill_sweeps(url_of(empty), revision=revision)
    database = open_database(url_of(empty))
    known = {name: of[-1] for name, of in SWEEPS.items()}
    if revision > 1:
        known["night"] = False  # its text is another one now
    query = "SELECT sweep, prompt_template FROM sweep_images"
    with database.read() as connection:
        shown = dict(map(tuple, connection.exec_driver_sql(query)))
        first = connection.exec_driver_sql("SELECT prompt_template FROM images")
        assert first.scalar_one() == shown["night"]
    database.close()
    assert shown == {
        name: "a {cat|dog}" if is_known else None for name, is_known in known.items()
    }
    assert {"writer_of", "template_of"}.isdisjoint(tables_of(empty))


def test_what_tells_our_databases_is_in_all_of_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ours.db"
    make_old(url, "0001")
    engine = make_engine(url)
    assert set(tables_of(engine)) >= OURS
    assert {*tables_of(engine)} - {"alembic_version"} <= KNOWN_TABLES
    engine.dispose()
