"""What every test needs: a state folder of its own, and nobody else's settings."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from storage.database import Database, open_database
from storage.embedded import broker_url, stop
from storage.queue import make_app
from storage.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("NIGHTSWEEP_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(home))
    yield
    # A Redis that a command or a worker of the test started outlives both.
    if (home / "redis").is_dir():
        stop(read_settings({"NIGHTSWEEP_HOME": str(home)}))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Give settings for a state folder in `tmp_path`; it exists."""
    made = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home")})
    made.make_home()
    return made


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Give a new SQLite database in the state folder."""
    opened = open_database(settings.database_url)
    yield opened
    opened.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    """Give a Celery app on an embedded Redis of the test's own."""
    made = make_app(broker_url(settings))
    yield made
    made.close()
    stop(settings)


@pytest.fixture
def other() -> Iterator["subprocess.Popen[str]"]:
    """Give another process of this host, which says its name, and waits."""
    code = "from storage.owners import my_name; print(my_name(), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()
