"""Fixtures for all tests: each has a state folder of its own and no other settings."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Literal

import pytest
from celery import Celery

from storage.broker.embedded import broker_url, stop
from storage.broker.queue import make_app
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from tests.databases import open_new
from tests.matrices import shorten
from tests.processes import ROOT
from workers.vitals import outages

# Set before torch is loaded: otherwise its idle threads spin, and take cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell makes its background jobs ignore Ctrl-C, and their processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PACKAGES = ("storage", "analysis", "gallery", "producer", "workers")
#: Signals that commands handle.
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

if TYPE_CHECKING:
    from tests.buckets import Bucket, BucketServer
    from tests.postgresql import Server

#: Files and folders that `--bare` leaves out: their tests import torch, or have workers
#: that do. Tests of other files that need torch are marked `torch`.
NEED_TORCH = (
    "acceptance/test_main_job.py",
    "acceptance/test_prompt_sources.py",
    "acceptance/test_reproduce.py",
    "acceptance/test_run.py",
    "acceptance/test_score.py",
    "acceptance/test_strict.py",
    "faults/test_demo_model.py",
    "gpu",
    "integration/producer/reproduction/test_scripts.py",
    "integration/storage/catalogue",
    "integration/storage/models/test_builtin_model.py",
    "integration/storage/models/test_loaded_files.py",
    "integration/storage/models/test_opened_files.py",
    "integration/workers/engine",
    "unit/workers/metrics/test_distances.py",
    "unit/workers/metrics/test_metrics_page.py",
    "unit/workers/metrics/test_shapes_judge.py",
    "unit/workers/metrics/test_similarities.py",
)

#: Files and folders for `make test-flax`; elsewhere they are left out.
NEED_FLAX = ("faults/test_flax.py", "flax")

#: Files whose tests run diffusers, simulations or queries over and over, by lines of
#: ours that others run too. Their coverage is not measured: it costs a third of their
#: time or more.
UNMEASURED = (
    "acceptance/test_strict.py",
    "integration/storage/catalogue/test_accepted_runs.py",
    "integration/storage/catalogue/test_catalogue.py",
    "integration/storage/catalogue/test_pinned_names.py",
    "integration/workers/engine/test_batches.py",
    "integration/workers/engine/test_call_parameters.py",
    "integration/workers/engine/test_effects.py",
    "integration/workers/engine/test_hub.py",
    "integration/workers/engine/test_occupancy.py",
    "integration/workers/engine/test_parameters.py",
    "integration/workers/engine/test_pipelines.py",
    "unit/analysis/test_truth.py",
    "unit/storage/queries/test_paths.py",
)

#: Files whose tests share the warm workers.
WARM = (
    "acceptance/test_main_job.py",
    "acceptance/test_prompt_sources.py",
    "acceptance/test_reproduce.py",
    "acceptance/test_score.py",
    "acceptance/test_strict.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-bare`."""
    text = "run what needs no torch, in an environment without it"
    parser.addoption("--bare", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse `--bare` if torch is installed."""
    if config.option.bare and find_spec("torch"):
        msg = "--bare needs an environment without torch, but here it is installed"
        raise pytest.UsageError(msg)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect no garbage while torch and the tests are imported, nor look there later.

    Nearly all of it stays to the end: to look through it takes a tenth of the suite.
    """
    gc.disable()
    try:
        # The process that only hands out tests needs no modules.
        is_handing_out = session.config.pluginmanager.hasplugin("dsession")
        if is_handing_out or not (_measuring(session.config) and find_spec("torch")):
            return (yield)
        _import_all(session.config)
        with _unmeasured(session.config):
            return (yield)
    finally:
        gc.freeze()
        # Tests that make models else spend a tenth of their time on looking for more.
        gc.set_threshold(50_000, 20, 50)
        gc.enable()


def _import_all(config: pytest.Config) -> None:
    """Import all modules of ours, and before them torch, which is not measured.

    So nothing needs to be measured while tests are collected. To find out that none of
    torch's 3,000 files is ours would take longer than to import them.
    """
    with _unmeasured(config):
        import_module("diffusers.pipelines.flux.pipeline_flux")
    for package in PACKAGES:
        for found in walk_packages([str(ROOT / package)], f"{package}."):
            is_absent = found.name.startswith("workers.flax.") and not find_spec("flax")
            if "migrations" not in found.name and not is_absent:
                import_module(found.name)


def _measuring(config: pytest.Config) -> Any:
    """Return what measures the coverage; None if nothing does."""
    plugin = config.pluginmanager.getplugin("_cov")
    return getattr(plugin, "cov_controller", None)


@contextmanager
def _unmeasured(config: pytest.Config) -> Iterator[None]:
    """Measure no coverage in the block."""
    measuring = _measuring(config)
    if measuring:
        measuring.pause()
    yield
    if measuring:
        measuring.resume()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage where others run the same lines."""
    with _unmeasured(item.config) if _is_covered(item) else nullcontext():
        return (yield)


def _is_covered(item: pytest.Item) -> bool:
    """Return whether other tests run the same lines: on SQLite, or with less torch."""
    here = Path(__file__).parent
    mark = item.get_closest_marker("databases")
    is_twin = mark is not None and "[postgresql" in item.name and len(mark.args) > 1
    return is_twin or item.path in [here / name for name in UNMEASURED]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have one process run the files of `WARM`: each would start workers of its own."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "warm" if file.endswith(WARM) else file

    return Scheduling(config, log)


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Leave out tests whose packages are not there: JAX, playwright, torch."""
    here = Path(__file__).parent
    if collection_path == here / "web":
        return None if find_spec("playwright") else True
    if collection_path in [here / name for name in NEED_FLAX]:
        return None if find_spec("flax") else True
    is_out = collection_path in [here / name for name in NEED_TORCH]
    return True if config.option.bare and is_out else None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """With `--bare`, skip the tests that are marked `torch`."""
    for item in items:
        if config.option.bare and item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="needs torch"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each database that its mark `databases` names, quickly on one."""
    mark = metafunc.definition.get_closest_marker("databases")
    if mark and "database_url" in metafunc.fixturenames:
        urls = shorten(mark.args, mark.args[:1])
        metafunc.parametrize("database_url", urls, indirect=True)


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("NIGHTSWEEP_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(home))
    # An outage that an earlier test left behind would hide messages of this one.
    monkeypatch.setattr(outages, "_outages", {})
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    # A command that was run in this process may have left its signal handlers.
    for number, handler in handlers.items():
        signal.signal(number, handler)
    # The embedded Redis outlives the command or worker that started it.
    if (home / "redis").is_dir():
        stop(read_settings({"NIGHTSWEEP_HOME": str(home)}))


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """Yield a PostgreSQL server; each process that runs tests has its own."""
    # Imported here: other tests do not need its driver.
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


@pytest.fixture(scope="session")
def bucket_server() -> Iterator["BucketServer"]:
    """Yield a server of buckets; each process that runs tests has its own."""
    # Imported here: other tests do not need moto.
    from tests.buckets import bucket_server

    with bucket_server() as made:
        yield made


@pytest.fixture
def bucket(
    bucket_server: "BucketServer", monkeypatch: pytest.MonkeyPatch
) -> Iterator["Bucket"]:
    """Yield an empty bucket that the settings name; processes of the test use it too.

    Ask for it before `settings`, which reads the environment.
    """
    made = bucket_server.make_bucket()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    bucket_server.faulty.mend()


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the URL of the test's database; processes of the test use it too.

    It is a file in the state folder, or, for tests that are marked `postgresql`, an
    empty database on the server.
    """
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Server = request.getfixturevalue("server")
        monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", server.clean_shared())
    return read_settings().database_url


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Return settings for a state folder in `tmp_path`, which exists."""
    made = read_settings()
    assert made.database_url == database_url
    made.make_home()
    return made


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Yield a new database at the URL of the settings."""
    opened = open_new(settings.database_url)
    yield opened
    opened.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    """Yield a Celery app on an embedded Redis of the test's own."""
    made = make_app(broker_url(settings))
    yield made
    made.close()
    stop(settings)


@pytest.fixture
def other() -> Iterator["subprocess.Popen[str]"]:
    """Yield another process of this host, which prints its worker id and waits."""
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
