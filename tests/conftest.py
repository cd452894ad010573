"""What every test needs: a state folder of its own, and nobody else's settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from celery import Celery

from storage.broker.embedded import broker_url, stop
from storage.broker.queue import make_app
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from tests.databases import open_new
from workers.vitals import outages

# Before torch is loaded: its idle threads would spin, and take the cores from others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell has its background jobs ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Signals that commands handle.
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

if TYPE_CHECKING:
    from tests.postgresql import Server

#: What is left out with `--bare`: test files and folders that import torch, or whose
#: workers paint. A test of another file that needs torch is marked `torch`.
NEED_TORCH = (
    "acceptance/test_main_job.py",
    "acceptance/test_run.py",
    "acceptance/test_strict.py",
    "faults/test_demo_model.py",
    "gpu",
    "integration/test_accepted_runs.py",
    "integration/test_batches.py",
    "integration/test_builtin_model.py",
    "integration/test_calibration.py",
    "integration/test_catalogue.py",
    "integration/test_compiling.py",
    "integration/test_effects.py",
    "integration/test_families.py",
    "integration/test_known_classes.py",
    "integration/test_loaded_files.py",
    "integration/test_memory.py",
    "integration/test_occupancy.py",
    "integration/test_opened_files.py",
    "integration/test_painter.py",
    "integration/test_pinned_names.py",
    "integration/test_pipeline_families.py",
    "integration/test_random_models.py",
    "integration/test_slots.py",
    "integration/test_steering.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-bare`."""
    text = "run what needs no torch, in an environment without it"
    parser.addoption("--bare", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to leave anything out where torch is installed."""
    if config.option.bare and find_spec("torch"):
        msg = "--bare needs an environment without torch, but here it is installed"
        raise pytest.UsageError(msg)


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Leave out the files of `NEED_TORCH` with `--bare`."""
    here = Path(__file__).parent
    is_out = collection_path in [here / name for name in NEED_TORCH]
    return True if config.option.bare and is_out else None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip the tests that are marked `torch` with `--bare`."""
    for item in items:
        if config.option.bare and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="needs torch"))


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
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    # A command that serves until it ends leaves its own, in this process too.
    for number, handler in handlers.items():
        signal.signal(number, handler)
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
    opened = open_new(settings.database_url)
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
    code = (
        "from storage.host.worker_ids import my_name; "
        "print(my_name(), flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()
