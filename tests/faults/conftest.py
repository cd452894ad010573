"""A night for each test, with a Redis server of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from storage.settings import Settings, read_settings
from tests.databases import open_new
from tests.faults.night import STAND_IN, Night
from tests.faults.server import RedisServer
from tests.postgresql import Server
from tests.processes import ROOT, wait_until

#: Seconds after which silence frees a job: on a busy machine a worker may
#: be silent for seconds. `Night.end_leases` has them end sooner.
LEASE_S = 30


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Give a Redis server; its folder has a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.end()


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Set where the night's database is, on PostgreSQL a new one; give it."""
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Server = request.getfixturevalue("server")
        monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", server.make_database())
    return read_settings().database_url


@pytest.fixture
def night(
    settings: Settings,
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Night]:
    """Give a night; its processes inherit the environment."""
    database = open_new(settings.database_url)
    made = Night(settings, database=database, redis=redis, folder=tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", redis.url)
    monkeypatch.setenv("NIGHTSWEEP_LEASE_S", str(LEASE_S))
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", STAND_IN)
    monkeypatch.setenv("NIGHTSWEEP_STAND_IN_JOURNAL", str(made.journal))
    yield made
    database.close()
    try:  # those whose supervisor was killed end their work first
        wait_until(lambda: not made.workers())
    finally:
        for process in made.workers():
            with suppress(psutil.NoSuchProcess):
                process.kill()
