"""What every test needs: a state folder of its own, and nobody else's settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from storage.database import Database, open_database
from storage.embedded import broker_url, stop
from storage.queue import make_app
from storage.settings import Settings, read_settings
from workers import outages

# Before torch is loaded: its idle threads would spin, and take the cores from others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell has its background jobs ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from tests.postgresql import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module on each database that its mark `databases` names."""
    mark = metafunc.definition.get_closest_marker("databases")
    if mark and "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", mark.args, indirect=True)


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("NIGHTSWEEP_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(home))
    # What a test before this one still waited for would keep others from being said.
    monkeypatch.setattr(outages, "_outages", {})
    yield
    # A Redis that a command or a worker of the test started outlives both.
    if (home / "redis").is_dir():
        stop(read_settings({"NIGHTSWEEP_HOME": str(home)}))


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """Give a PostgreSQL server; each process that runs tests has its own."""
    # Imported here: its driver is needed by nobody else.
    from tests.postgresql import Server, find_programs

    programs = find_programs()
    if programs is None:
        reason = "there is no PostgreSQL server; install the package postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    made = Server(programs)
    try:
        made.make_shared()
        yield made
    finally:
        made.close()


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Set where the test's database is, and give it.

    That is a file in the state folder, or an empty one on the server where the test
    is marked for `postgresql`. Processes that the test starts use it too.
    """
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Server = request.getfixturevalue("server")
        monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", server.clean_shared())
    return read_settings().database_url


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Give settings for a state folder in `tmp_path`; it exists."""
    made = read_settings()
    assert made.database_url == database_url
    made.make_home()
    return made


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Give a new database, where the settings say."""
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
