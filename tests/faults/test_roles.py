"""The roles of docs/security.md: each does its work on PostgreSQL, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from storage.settings import read_settings
from storage.sql.schema import metadata
from storage.sql.views import VIEWS
from tests.faults.night import Night
from tests.postgresql import Server
from tests.processes import ROOT

pytestmark = pytest.mark.databases("postgresql")

PAGE = (ROOT / "docs" / "security.md").read_text()
SECTION = PAGE.partition("## PostgreSQL: roles with the least rights")[2]
RECIPE = SECTION.partition("```sql\n")[2].partition("```")[0]
ROLES = tuple(re.findall(r"^CREATE ROLE (\w+)", RECIPE, flags=re.MULTILINE))
PRODUCER, WORKER, READER = ROLES


@pytest.fixture
def name(night: Night) -> str:
    """Return the name of the night's database."""
    return str(night.database.engine.url.database)


@pytest.fixture
def roles(night: Night, server: Server, name: str) -> Iterator[None]:
    """Follow the recipe, and remove the roles in the end."""
    with server.connect(name) as owner:
        # What counts effects in this test is not nightsweep's.
        owner.execute("GRANT INSERT ON effects TO PUBLIC")
        owner.execute(RECIPE)
    yield
    night.database.close()
    with server.connect(name) as owner:
        for role in map(sql.Identifier, ROLES):
            owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))


def become(
    role: str, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let commands of this test log in with a role."""
    url = server.url(name).replace("//me@", f"//{role}@")
    monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", url)


def connect(role: str, server: Server, name: str) -> psycopg.Connection:
    return psycopg.connect(host=server.folder, user=role, dbname=name, autocommit=True)


@pytest.mark.usefixtures("roles")
def test_each_role_does_its_work(
    night: Night, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.run("quota", read_settings().user, "--gpu-hours", "9", "--per", "day")
    become(PRODUCER, server, name, monkeypatch)
    night.submit(count=40)
    night.run("pause", "night")
    night.run("priority", "night", "3")
    night.run("resume", "night", "--gpu-hours", "4")
    become(WORKER, server, name, monkeypatch)
    with night.working(2):
        night.wait_for(40)
        night.check(done=40)
    become(PRODUCER, server, name, monkeypatch)
    night.submit(count=44)
    night.run("retry", "night")
    night.run("cancel", "night")
    night.run("rename", "night", "morning")
    night.run("archive", "morning")
    become(READER, server, name, monkeypatch)
    found = night.run("find", "sweep:morning", "state:done", "--count")
    assert found.strip() == "40"
    assert "morning" in night.run("list", "--all")
    night.run("status", "--all")
    night.run("quota")
    assert "Traceback" not in night.log()
    assert "Waiting: " not in night.log()


#: What each role must be refused.
REFUSED = {
    READER: (
        "DELETE FROM jobs",
        "DELETE FROM sweeps",
        "DELETE FROM results",
        "UPDATE sweeps SET priority = 0",
        "INSERT INTO owners (name) VALUES ('zoe')",
        "CREATE TABLE mine (id int)",
    ),
    PRODUCER: (
        "UPDATE owners SET gpu_s = NULL",
        "UPDATE owner_uses SET used_s = 0",
        "INSERT INTO owners (name, gpu_s) VALUES ('zoe', 9)",
        "DELETE FROM sweeps",
        "DELETE FROM jobs",
        "DELETE FROM results",
        "UPDATE results SET path = 'x'",
        "ALTER TABLE jobs ADD COLUMN mine int",
    ),
    WORKER: (
        "UPDATE owners SET gpu_s = NULL",
        "UPDATE owners SET name = 'zoe'",
        "UPDATE sweeps SET priority = 0",
        "UPDATE sweeps SET spec = ''",
        "UPDATE sweeps SET owner_id = 0",
        "UPDATE budgets SET gpu_s = NULL",
        "INSERT INTO sweep_jobs SELECT * FROM sweep_jobs",
        "DELETE FROM sweeps",
        "DELETE FROM jobs",
        "DROP TABLE sweeps",
        "DROP VIEW images",
        "UPDATE alembic_version SET version_num = '0001'",
    ),
}


@pytest.mark.usefixtures("roles")
def test_a_role_is_refused_what_is_not_its_work(server: Server, name: str) -> None:
    for role, statements in REFUSED.items():
        with closing(connect(role, server, name)) as connection:
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


@pytest.mark.usefixtures("roles")
def test_a_command_under_too_few_rights_ends_with_one_sentence(
    night: Night, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.submit(count=2)
    become(READER, server, name, monkeypatch)
    said = " ".join(night.run("pause", "night", code=2).split())
    assert "The user of the database must have the rights to do this, but" in said
    assert "permission denied for table sweeps" in said
    assert "name a user who has them in NIGHTSWEEP_DATABASE_URL" in said
    become(WORKER, server, name, monkeypatch)
    said = " ".join(night.run("quota", "zoe", "--gpu-hours", "1", code=2).split())
    assert "permission denied for table owners" in said


@pytest.mark.usefixtures("roles")
def test_every_table_is_written_by_a_role_or_named_as_the_owners(
    server: Server, name: str
) -> None:
    writes = "SELECT has_any_column_privilege(%s, %s, 'INSERT, UPDATE')"
    reads = "SELECT has_table_privilege(%s, %s, 'SELECT')"
    tables = [*metadata.tables, "alembic_version"]
    with closing(server.connect(name)) as owner:

        def may(what: str, role: str, table: str) -> bool:
            row = owner.execute(what.encode(), (role, table)).fetchone()
            return bool(row and row[0])

        unread = [
            (role, table)
            for role in ROLES
            for table in (*tables, *VIEWS)
            if not may(reads, role, table)
        ]
        written = {each for each in tables for role in ROLES if may(writes, role, each)}
        assert not [each for each in tables if may(writes, READER, each)]
    assert unread == []
    said = SECTION.partition("Only the owner writes ")[2].partition(".")[0]
    assert set(tables) - written == set(re.findall(r"`(\w+)`", said))
