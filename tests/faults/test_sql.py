"""A database that is locked, or away."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from tests.faults.night import Night
from tests.postgresql import Server
from tests.processes import PATIENCE_S, wait_until
from tests.stand_in import hold, let_go
from tests.unit.old_database import with_other_schema


@contextmanager
def locked(night: Night) -> Iterator[None]:
    """Keep everybody else from writing, as a careless client does."""
    path = night.settings.database_path
    assert path
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as client:
        client.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            client.execute("ROLLBACK")


@contextmanager
def crashed(server: Server) -> Iterator[None]:
    """Have the server dead, and everybody's connection lost."""
    server.end(signal.SIGQUIT)
    try:
        yield
    finally:
        server.start()


@contextmanager
def locked_jobs(night: Night) -> Iterator[None]:
    """Keep everybody else from the jobs on PostgreSQL, as a careless client does."""
    with night.database.write() as client:
        client.exec_driver_sql("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        yield


def outlives(night: Night, outage: AbstractContextManager[None], seconds: int) -> None:
    """Make 80 jobs, each begun once, though SQL is away for a while."""
    night.submit(count=80, steps=10)
    with night.working(2):
        night.wait_for(2)
        with outage:
            time.sleep(seconds)
        night.wait_for(80)
        night.check(done=80)
    assert night.began() == 80


@pytest.mark.long
@pytest.mark.parametrize("seconds", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_a_locked_database_is_waited_for(night: Night, seconds: int) -> None:
    outlives(night, locked(night), seconds)


@pytest.mark.slow
@pytest.mark.databases("postgresql")
def test_a_locked_table_is_waited_for(night: Night) -> None:
    outlives(night, locked_jobs(night), 40)
    assert "Waiting: " in night.log()


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_server_that_is_away_is_waited_for(
    night: Night, server: Server, seconds: int
) -> None:
    outlives(night, crashed(server), seconds)
    for path in night.settings.logs.glob("*.log"):
        said = path.read_text()
        assert said.count("Waiting: ") == said.count("Going on after ")
        assert "Traceback" not in said


@pytest.mark.long
@pytest.mark.databases("sqlite", "postgresql")
def test_workers_beside_a_newer_schema_end_with_one_sentence(night: Night) -> None:
    night.submit(count=80)
    hold()
    with night.working(2) as supervisor:
        wait_until(lambda: len(night.owners()) == 2)
        with with_other_schema(night.database, "9999"):
            let_go()
            assert supervisor.wait(PATIENCE_S) == 1
    said = (night.folder / "said").read_text()
    assert "has 9999 by now; start this again, with the nightsweep that" in said
    assert "Ended, since no worker can go on: " in said
    assert "Traceback" not in night.log()
    assert not night.states()["leased"]
    with night.working():
        night.wait_for(80)
        night.check(done=80)


def test_a_run_beside_a_newer_schema_ends_with_one_sentence(night: Night) -> None:
    spec = str(night.spec(count=80))
    hold()
    with night.begin("run", spec, "--device", "cpu") as run:
        wait_until(night.owners)
        with with_other_schema(night.database, "9999"):
            let_go()
            said, _ = run.communicate()
    assert run.returncode == 1
    assert "has 9999 by now; start this again, with the nightsweep that" in said
    assert "Traceback" not in said + night.log()
    assert not night.states()["leased"]
