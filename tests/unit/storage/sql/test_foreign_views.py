"""Views that people made on ours outlive an upgrade, or are named and left alone."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from storage.errors import WrongDatabaseError
from storage.sql.database import HEAD, current_revision, open_database
from tests.unit.old_database import make_old

#: A name and a text that must be quoted, for both databases and for the driver.
UNUSUAL = '"it\'s 100%: ""mine"""'


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Give a database of the first schema, with one finished image."""
    url = f"sqlite:///{tmp_path}/old.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("server").make_database()
    make_old(url)
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def old_file(tmp_path: Path) -> Iterator[Engine]:
    """Give a database of the first schema on SQLite."""
    url = f"sqlite:///{tmp_path}/old.db"
    make_old(url)
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def on_server(server: Any) -> Iterator[Engine]:
    """Give a database of the first schema on PostgreSQL."""
    url = server.make_database()
    make_old(url)
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(
                statement, execution_options={"no_parameters": True}
            )


def rows(engine: Engine, query: str) -> Sequence[tuple[Any, ...]]:
    with engine.connect() as connection:
        options = {"no_parameters": True}
        found = connection.exec_driver_sql(query, execution_options=options)
        return [tuple(row) for row in found]


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def upgrade(engine: Engine) -> None:
    engine.dispose()
    with closing(open_database(url_of(engine))) as database:
        assert current_revision(database) == HEAD


def refusal(engine: Engine) -> str:
    """Give why an upgrade is refused, which leaves everything as it is."""
    engine.dispose()
    with pytest.raises(WrongDatabaseError) as caught:
        open_database(url_of(engine))
    assert not caught.value.retryable
    assert rows(engine, "SELECT * FROM alembic_version") == [("0001",)]
    assert rows(engine, "SELECT scheduler FROM images") == [("ddim",)]
    return str(caught.value)


def test_views_of_other_people_outlive_an_upgrade(old: Engine) -> None:
    run(
        old,
        "CREATE VIEW best AS SELECT key, scheduler FROM images WHERE prompt LIKE 'a %'",
        "CREATE VIEW better AS SELECT scheduler, count(*) AS images FROM best"
        " GROUP BY scheduler",
        "CREATE VIEW both_ours AS SELECT images.key, sweep_images.position"
        " FROM images JOIN sweep_images ON images.key = sweep_images.key",
        f"CREATE VIEW {UNUSUAL} AS SELECT id, ':x %s' AS text FROM jobs",  # noqa: S608
    )
    queries = ("SELECT * FROM best", "SELECT * FROM better", "SELECT * FROM both_ours")
    queries = (*queries, f"SELECT * FROM {UNUSUAL}")  # noqa: S608
    before = [rows(old, query) for query in queries]
    assert before == [[("k", "ddim")], [("ddim", 1)], [("k", 7)], [(1, ":x %s")]]
    upgrade(old)
    assert [rows(old, query) for query in queries] == before


def test_a_view_may_stand_on_one_that_is_younger(old: Engine) -> None:
    statements = [
        "CREATE VIEW older AS SELECT key FROM images",
        "CREATE VIEW younger AS SELECT key FROM images",
        "CREATE OR REPLACE VIEW older AS SELECT key FROM younger",
    ]
    if old.dialect.name == "sqlite":  # which looks at a view only when it is used
        statements = ["CREATE VIEW older AS SELECT key FROM younger", statements[1]]
    run(old, *statements)
    upgrade(old)
    assert rows(old, "SELECT * FROM older") == [("k",)]


def test_a_view_that_does_not_fit_is_named_and_nothing_is_changed(old: Engine) -> None:
    run(
        old,
        "CREATE VIEW best AS SELECT key FROM images",
        "CREATE VIEW places AS SELECT name FROM models",
    )
    said = refusal(old)
    assert said.startswith("A view must fit the tables of this nightsweep, but the ")
    assert "places of " in said
    assert "name" in said.partition("does not: ")[2]
    assert "; drop it and start this again" in said
    assert rows(old, "SELECT * FROM places") == [("builtin:shapes",)]
    run(old, "DROP VIEW places")
    upgrade(old)
    assert rows(old, "SELECT * FROM best") == [("k",)]


def test_a_table_of_others_in_the_way_is_named(old: Engine) -> None:
    run(old, "CREATE TABLE folders (path text)", "INSERT INTO folders VALUES ('/a')")
    said = refusal(old)
    assert said.startswith("The database must have nothing in the way of schema ")
    assert "folders" in said
    assert "already exists; drop or rename what others made in it" in said
    assert rows(old, "SELECT * FROM folders") == [("/a",)]


def test_a_view_that_was_broken_before_stays_so(old_file: Engine) -> None:
    run(old_file, "CREATE VIEW broken AS SELECT * FROM nowhere")
    upgrade(old_file)
    query = "SELECT sql FROM sqlite_master WHERE name = 'broken'"
    assert rows(old_file, query) == [("CREATE VIEW broken AS SELECT * FROM nowhere",)]


def test_triggers_in_a_file_outlive_an_upgrade(old_file: Engine) -> None:
    run(
        old_file,
        "CREATE TABLE notes (text text)",
        "CREATE VIEW best AS SELECT key FROM images",
        "CREATE TRIGGER on_best INSTEAD OF INSERT ON best"
        " BEGIN INSERT INTO notes VALUES (new.key); END",
        "CREATE TRIGGER on_ours INSTEAD OF DELETE ON images"
        " BEGIN INSERT INTO notes VALUES (old.key); END",
        "CREATE TRIGGER on_table AFTER INSERT ON sweeps"
        " BEGIN INSERT INTO notes SELECT scheduler FROM images; END",
    )
    upgrade(old_file)
    run(
        old_file,
        "INSERT INTO best VALUES ('one')",
        "DELETE FROM images",
        "INSERT INTO sweeps (name, revision, digest, spec, axes, state, priority,"
        " created_at) VALUES ('other', 1, 'd', 'two', '{}', 'active', 5, '2026')",
    )
    assert rows(old_file, "SELECT * FROM notes") == [("one",), ("k",), ("ddim",)]


def test_views_on_a_server_keep_their_owners_rights_and_more(
    on_server: Engine,
) -> None:
    run(
        on_server,
        "CREATE ROLE analyst",
        'CREATE ROLE "an Owner"',
        "CREATE SCHEMA reports",
        'GRANT USAGE, CREATE ON SCHEMA reports TO "an Owner"',
        "GRANT SELECT ON images TO analyst, PUBLIC",
        'GRANT SELECT ON images TO "an Owner" WITH GRANT OPTION',
        "CREATE VIEW reports.best WITH (security_barrier) AS SELECT key FROM images",
        "GRANT SELECT, DELETE ON reports.best TO analyst",
        'ALTER VIEW reports.best OWNER TO "an Owner"',
        "COMMENT ON VIEW reports.best IS 'the ''best'': 100%'",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER never INSTEAD OF DELETE ON reports.best FOR EACH ROW"
        " EXECUTE FUNCTION nothing()",
    )
    query = """
        SELECT relname::text, relacl::text, relowner::regrole::text, reloptions::text,
            obj_description(oid), pg_get_viewdef(oid),
            (SELECT tgname::text FROM pg_trigger WHERE tgrelid = pg_class.oid)
        FROM pg_class WHERE relname IN ('images', 'best') ORDER BY relname
    """
    (best, images) = rows(on_server, query)
    upgrade(on_server)
    (best_now, images_now) = rows(on_server, query)
    assert best_now == best
    assert images_now[:5] == images[:5]
    run(on_server, "DROP OWNED BY analyst", "DROP ROLE analyst")
    run(on_server, 'DROP OWNED BY "an Owner" CASCADE', 'DROP ROLE "an Owner"')


def test_what_else_stands_on_a_view_of_ours_is_named(on_server: Engine) -> None:
    run(on_server, "CREATE MATERIALIZED VIEW kept AS SELECT key FROM images")
    said = refusal(on_server)
    assert "(materialized view kept depends on view images); drop or rename" in said
    assert rows(on_server, "SELECT * FROM kept") == [("k",)]
