"""The soak: a night of random faults, after which every image is there once."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import SystemRandom

import pytest

from tests.faults.chaos import LEASE_S, WIDTH, Chaos
from tests.faults.night import Night
from tests.faults.test_sql import crashed, locked
from tests.postgresql import Server

#: Seconds of faults where a server is tried.
SERVER_S = 90.0
Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Tell:
    """Give what writes a line that pytest does not hold back."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    assert reporter

    def write(line: str) -> None:
        with capfd.disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return write


@pytest.mark.slow
def test_after_a_night_of_faults_every_image_is_there_once(
    night: Night, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = float(os.environ.get("SOAK_S") or 600)
    soak(night, lambda: locked(night), seconds, tell, monkeypatch)


@pytest.mark.slow
@pytest.mark.databases("postgresql")
def test_the_same_where_the_database_is_a_server_that_dies(
    night: Night, server: Server, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    soak(night, lambda: crashed(server), SERVER_S, tell, monkeypatch)


def soak(
    night: Night,
    sql_away: Callable[[], AbstractContextManager[None]],
    seconds: float,
    tell: Tell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Have faults for so long, let all be made, and check that it is."""
    monkeypatch.setenv("NIGHTSWEEP_LEASE_S", str(LEASE_S))
    seed = int(os.environ.get("SOAK_SEED") or SystemRandom().randrange(10**6))
    tell(f"SOAK_SEED={seed}, {seconds:.0f} s of faults")
    began = time.monotonic()
    with Chaos(night, seed=seed, sql_away=sql_away) as chaos:
        chaos.go_on(seconds)
        jobs = chaos.finish()
        night.check(done=jobs)
    took_s = time.monotonic() - began
    kills, twice = len(chaos.killed), chaos.work_twice()
    faults = ", ".join(f"{name} {n}" for name, n in sorted(chaos.happened.items()))
    tell(f"{chaos.happened.total()} faults: {faults}")
    tell(
        f"{jobs} jobs made in {took_s:.0f} s, each with one effect; {night.began()} "
        f"executions; {twice:.1f} jobs' work done twice in {kills} kills of workers "
        f"that are {WIDTH} wide"
    )
    assert chaos.happened.total() >= 2 * seconds / 60
    assert night.begun_by_two() == []
    assert twice <= WIDTH * kills
