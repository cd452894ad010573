"""A database that is locked, or away."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.faults.night import Night


@contextmanager
def locked(night: Night) -> Iterator[None]:
    """Keep everybody else from writing, as a careless client does."""
    path = night.settings.database_path
    assert path
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as client:
        client.execute("BEGIN EXCLUSIVE")
        yield
        client.execute("ROLLBACK")


@pytest.mark.parametrize("seconds", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_a_locked_database_is_waited_for(night: Night, seconds: int) -> None:
    night.submit(count=80, steps=10)
    with night.working(2):
        night.wait_for(2)
        with locked(night):
            time.sleep(seconds)
        night.wait_for(80)
        night.check(done=80)
    assert night.began() == 80
