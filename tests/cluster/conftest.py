"""A cluster for each test."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from storage.settings import Settings
from tests.cluster.hosts import LEASE_S, Cluster, serving_redis, serving_sql
from tests.cluster.network import Network
from tests.databases import open_new
from tests.faults.night import STAND_IN, Night
from tests.postgresql import find_programs

NAME = "night"


@pytest.fixture
def cluster(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """Give five hosts, with Redis and PostgreSQL running on two of them."""
    assert os.geteuid() == 0, (
        "The tests of a cluster make namespaces; run them as root."
    )
    programs = find_programs()
    assert programs, "The tests of a cluster need PostgreSQL; install its server."
    with Network() as network, ExitStack() as stack:
        made = stack.enter_context(closing(Cluster(network, tmp_path)))
        # Sockets have short paths.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))
        redis = stack.enter_context(serving_redis(made, Path(folder)))
        server = stack.enter_context(serving_sql(made, programs))
        url = server.make_database(NAME)
        monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", url)
        monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", redis.url)
        monkeypatch.setenv("NIGHTSWEEP_LEASE_S", str(LEASE_S))
        monkeypatch.setenv("NIGHTSWEEP_PAINTER", STAND_IN)
        database = stack.enter_context(closing(open_new(url)))
        night = Night(settings, database=database, redis=redis, folder=tmp_path)
        made.begin_night(night, server, NAME)
        yield made
