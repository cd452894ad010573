"""Upgrading: a copy first, one process at a time, and never under workers."""

import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from storage.errors import DatabaseError, WrongDatabaseError
from storage.host.worker_ids import my_name
from storage.jobs import claims
from storage.jobs.quotas import list_quotas
from storage.jobs.results import record_done
from storage.jobs.runnable_groups import runnable_groups
from storage.settings import Settings
from storage.sql import database as module
from storage.sql.backups import KEPT
from storage.sql.database import HEAD, current_revision, open_database
from storage.sql.living_workers import SILENT_S
from tests.builders import ENVIRONMENT, make_result
from tests.unit.old_database import make_old, read_old

#: The first schema whose workers have a row, and one before they named a back end.
WITH_WORKERS, BEFORE_BACKENDS = "0003", "0016"

BEGIN_WORKER = sa.text("""
    INSERT INTO workers
        (owner, name, host, gpu, phase, detail, images, started_at, phase_at, seen_at)
    VALUES (:owner, :name, 'night3', 'CPU', 'idle', '', 0, '', '', :seen_at)
""")

DIE_IN_THE_MIDST = """
import os, signal, sys
from storage.sql import backups
from storage.sql.database import open_database

backups._remove = lambda _copy: os.kill(os.getpid(), signal.SIGKILL)
open_database(sys.argv[1])
"""


def copies_of(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.home.glob("nightsweep-*"))


def tables_of(path: Path) -> tuple[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as file:
        (revision,) = file.execute("SELECT version_num FROM alembic_version").fetchone()
        return revision, file.execute("SELECT * FROM jobs").fetchall()


def add_worker(url: str, name: str, *, owner: str, silent_s: float = 0) -> None:
    seen_at = datetime.now(UTC) - timedelta(seconds=silent_s)
    row = {"owner": owner, "name": name, "seen_at": seen_at.isoformat()}
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(BEGIN_WORKER, row)
    engine.dispose()


def owner_that_died() -> str:
    host, pid, started = my_name().rsplit(":", 2)
    return f"{host}:{pid}:{int(started) - 1000}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, settings: Settings) -> str:
    """Return the URL of a database that does not exist, or is empty."""
    if request.param == "postgresql":
        made: str = request.getfixturevalue("server").make_database()
        return made
    return settings.database_url


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was told of upgrades."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "action", "") == "database_upgraded"
        and record.levelno == logging.WARNING
    ]


def test_a_file_is_copied_before_it_is_upgraded(
    settings: Settings, told: Callable[[], list[str]]
) -> None:
    make_old(settings.database_url, "0019")
    path = settings.home / "nightsweep.db"
    path.chmod(0o600)
    before = tables_of(path)
    with closing(open_database(settings.database_url)) as database:
        assert current_revision(database) == HEAD
    copy = settings.home / "nightsweep-0019.db"
    assert copies_of(settings) == [copy.name]
    assert tables_of(copy) == before
    assert before[0] == "0019"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert told() == [
        f"Upgraded the database {path} from schema 0019 to {HEAD}; a copy of it as it "
        f"was before is {copy}."
    ]


def test_a_copy_can_be_put_back_and_upgraded_again(settings: Settings) -> None:
    make_old(settings.database_url, "0012")
    path = settings.home / "nightsweep.db"
    with closing(open_database(settings.database_url)) as database:
        upgraded = read_old(database)
    shutil.copyfile(settings.home / "nightsweep-0012.db", path)
    with closing(open_database(settings.database_url)) as database:
        assert read_old(database) == upgraded
    assert copies_of(settings) == ["nightsweep-0012.db"]


def test_a_copy_has_what_only_the_log_holds_so_far(settings: Settings) -> None:
    make_old(settings.database_url, "0019")
    with closing(sqlite3.connect(settings.home / "nightsweep.db")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE jobs SET error = 'only in the log'")
        other.commit()
        open_database(settings.database_url).close()
    _, (job,) = tables_of(settings.home / "nightsweep-0019.db")
    assert "only in the log" in job


def test_a_new_database_leaves_no_copy(
    settings: Settings, told: Callable[[], list[str]]
) -> None:
    open_database(settings.database_url).close()
    assert not copies_of(settings)
    assert not told()


def test_only_copies_of_the_newest_schemas_are_kept(settings: Settings) -> None:
    own = settings.home / "nightsweep-before-the-move.db"
    older = [settings.home / f"nightsweep-{number:04}.db" for number in range(10, 14)]
    for path in (own, *older):
        path.touch()
    make_old(settings.database_url, "0019")
    open_database(settings.database_url).close()
    newest = [path.name for path in older[1 - KEPT :]]
    assert copies_of(settings) == [*newest, "nightsweep-0019.db", own.name]


def test_a_new_copy_stays_beside_those_of_newer_schemas(settings: Settings) -> None:
    make_old(settings.database_url, "0012")
    newer = [f"nightsweep-{name}.db" for name in ("0017", "0018", "0019", "2026")]
    for name in newer:
        (settings.home / name).touch()
    open_database(settings.database_url).close()
    assert copies_of(settings) == ["nightsweep-0012.db", *newer]


def test_a_file_that_does_not_fit_twice_is_left_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(settings.database_url, "0019")
    path = settings.home / "nightsweep.db"
    size = path.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size - 1))
    needs = f"it needs {size:,} bytes, and {size - 1:,} are free; make room"
    with pytest.raises(DatabaseError, match=needs):
        open_database(settings.database_url)
    assert tables_of(path)[0] == "0019"
    assert not copies_of(settings)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    open_database(settings.database_url).close()


def test_a_kill_leaves_no_copy_that_may_be_a_part(settings: Settings) -> None:
    make_old(settings.database_url, "0019")
    words = [sys.executable, "-c", DIE_IN_THE_MIDST, settings.database_url]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert len(list(settings.home.glob(".nightsweep-*"))) == 1
    assert not copies_of(settings)
    assert tables_of(settings.home / "nightsweep.db")[0] == "0019"
    open_database(settings.database_url).close()
    assert copies_of(settings) == ["nightsweep-0019.db"]
    assert not list(settings.home.glob(".nightsweep-*"))


def test_an_upgrade_that_fails_changes_nothing(settings: Settings) -> None:
    make_old(settings.database_url, "0019")
    path = settings.home / "nightsweep.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE images (id integer)")
    before = tables_of(path)
    with pytest.raises(WrongDatabaseError, match="nothing was changed"):
        open_database(settings.database_url)
    assert tables_of(path) == before


def test_of_several_at_once_one_upgrades(
    url: str, settings: Settings, told: Callable[[], list[str]]
) -> None:
    make_old(url, "0019")
    together = Barrier(4)

    def upgrade(_number: int) -> str | None:
        together.wait()
        with closing(open_database(url)) as database:
            return current_revision(database)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(upgrade, range(4))) == [HEAD] * 4
    assert len(told()) == 1
    assert len(copies_of(settings)) == url.startswith("sqlite")


def test_an_older_nightsweep_that_waited_for_a_newer_one_refuses_its_schema(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(settings.database_url, "0019")
    looks = module._look_first

    def look_too_early(url: str, database: module.Database) -> str | None:
        found = looks(url, database)
        with closing(sqlite3.connect(settings.home / "nightsweep.db")) as newer, newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
        return found

    monkeypatch.setattr(module, "_look_first", look_too_early)
    with pytest.raises(WrongDatabaseError, match="has 9999; install a newer"):
        open_database(settings.database_url)
    assert not copies_of(settings)


@pytest.mark.parametrize("revision", [WITH_WORKERS, BEFORE_BACKENDS])
def test_a_database_is_not_upgraded_under_workers(
    url: str, settings: Settings, revision: str
) -> None:
    make_old(url, revision)
    add_worker(url, "gpu1", owner="night4.12345678:7:9")
    # It has imported torch for ten minutes, and its process lives.
    add_worker(url, "gpu0", owner=my_name(), silent_s=600)
    said = (
        f"is upgraded from schema {revision} to {HEAD}, but workers of an older "
        "nightsweep use .*: gpu0 on night3 and 1 more; stop them, or wait"
    )
    with pytest.raises(DatabaseError, match=said) as refused:
        open_database(url)
    assert refused.value.retryable  # so a worker on a server waits for them
    assert not copies_of(settings)


def test_workers_that_are_gone_hold_up_no_upgrade(url: str) -> None:
    make_old(url, WITH_WORKERS)
    add_worker(url, "gpu0", owner=owner_that_died())
    add_worker(url, "gpu0", owner=f"{owner_that_died()}/gpu0")
    add_worker(url, "gpu1", owner="far.12345678:7:9", silent_s=SILENT_S + 1)
    with closing(open_database(url)) as database:
        assert current_revision(database) == HEAD


def test_jobs_that_waited_before_owners_are_made_and_count_for_nobody(
    url: str,
) -> None:
    make_old(url, "0022")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        waiting = "UPDATE jobs SET state = 'pending', priority = 5, total_s = NULL"
        connection.execute(sa.text(waiting))
        for statement in ("DELETE FROM results", "DELETE FROM environments"):
            connection.execute(sa.text(statement))
    engine.dispose()
    with closing(open_database(url)) as database:
        (group,) = runnable_groups(database)
        (claim,) = claims.claim(
            database, owner="host:1:1", lease_s=90.0, group=group.key, limit=4
        )
        made = {claim.id: make_result()}
        record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
        (nobody,) = list_quotas(database)
        assert (nobody.owner, nobody.total) == (None, 1)
