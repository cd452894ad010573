"""A Redis that is killed, frozen, cut off, full, emptied, or that loses a message."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from storage.broker.queue import PREFIX
from tests.faults.disk import fill, mounted
from tests.faults.night import Night
from tests.faults.server import RedisServer
from tests.matrices import shorten
from tests.processes import find_servers, wait_until
from tests.stand_in import hold, let_go


@pytest.mark.slow
def test_ten_kills_at_random_moments_lose_nothing(night: Night) -> None:
    chaos = random.Random(1)  # noqa: S311 - no secret
    night.submit(count=300, steps=10)
    with night.working(2):
        night.wait_for(5)
        for _ in range(10):
            time.sleep(chaos.uniform(0.1, 2.6))
            night.redis.kill()
            time.sleep(0.5)
            night.redis.start()
        night.wait_for(300)
        check_both_consume(night)
        night.check(done=380)
        check_log(night, outages=10)
    assert night.began() == 380


def check_both_consume(night: Night) -> None:
    """Check that each of two workers takes a message."""
    night.submit(count=80, steps=20, name="after")
    wait_until(lambda: len(night.owners()) == 2)
    night.wait_for(380)


def is_over(log: Path) -> bool:
    said = log.read_text()
    return said.count("Waiting: ") == said.count("Going on after ")


def check_log(night: Night, *, outages: int) -> None:
    """Check that each worker said once when an outage began, and when it ended."""
    for path in night.settings.logs.glob("*.log"):
        wait_until(lambda path=path: is_over(path))  # type: ignore[misc]
        said = path.read_text()
        assert said.count("Waiting: Redis must be reachable") <= outages
        assert "ERROR" not in said
        assert "Traceback" not in said


@pytest.mark.slow
def test_workers_are_at_work_again_after_each_of_ten_kills(night: Night) -> None:
    with night.working(2):
        for number in range(10):
            night.submit(count=64, steps=4, first=64 * number, name=f"n{number}")
            night.wait_for(64 * number + 1)
            night.redis.kill()
            time.sleep(1)
            night.redis.start()
            night.wait_for(64 * (number + 1))
            wait_until(lambda: not any(night.redis.left().values()))
        night.check(done=640)
    assert night.began() == 640


@pytest.mark.parametrize("down_s", [2, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "jobs_per_s", shorten([1, 30], [30]), ids=["turns end", "turns last"]
)
def test_a_redis_that_is_away_is_waited_for(
    night: Night, down_s: int, jobs_per_s: int
) -> None:
    jobs = 8 + jobs_per_s * down_s
    night.submit(count=jobs, steps=10)
    with night.working(2):
        night.wait_for(2)
        night.redis.kill()
        time.sleep(down_s)
        night.redis.start()
        night.submit(count=8, steps=10, first=jobs, name="after")
        night.wait_for(jobs + 8)
        night.check(done=jobs + 8)
        check_log(night, outages=1)
    assert night.began() == jobs + 8


@pytest.mark.long
def test_cut_connections_give_no_job_to_two_workers(night: Night) -> None:
    night.submit(count=64, steps=10)
    hold()
    with night.working(2):
        wait_until(lambda: len(night.owners()) == 2)
        night.redis.cut_connections()
        let_go()
        while night.states()["done"] < 60:
            night.redis.cut_connections()
            time.sleep(0.5)
        night.wait_for(64)
        night.check(done=64)
    assert night.began() == 64
    assert night.begun_by_two() == []


@pytest.mark.slow
def test_a_frozen_redis_costs_nothing(night: Night) -> None:
    night.submit(count=200, steps=10)
    with night.working(2, LEASE_S=10):
        night.wait_for(2)
        night.redis.freeze()
        time.sleep(25)
        night.redis.thaw()
        night.submit(count=8, steps=10, first=200, name="after")
        night.wait_for(208)
        night.check(done=208)
    assert night.began() == 208


def test_a_sweep_is_made_though_redis_lost_everything(night: Night) -> None:
    night.submit(count=100, steps=10)
    with night.working(2):
        night.wait_for(2)
        night.redis.lose_all()
        night.redis.start()
        night.wait_for(100)
        night.check(done=100)
    assert night.began() == 100


@pytest.mark.long
def test_messages_that_were_lost_on_their_way_are_sent_again(night: Night) -> None:
    night.submit(count=70)
    with night.redis.client() as client:
        taken = list(client.scan_iter(f"{PREFIX}images*"))
        assert client.delete(*taken)
    with night.working():
        night.wait_for(70)
        night.check(done=70)
    assert night.began() == 70


@pytest.fixture
def small_disk(night: Night) -> Iterator[Path]:
    """Give Redis a disk of its own, of 3 MB; give a file on it."""
    folder = night.redis.folder
    night.redis.kill()
    with mounted(folder, megabytes=3):
        night.redis.start()
        yield folder / "filler"
        night.redis.kill()
    night.redis.start()


def is_full(night: Night) -> bool:
    """Tell whether Redis refuses to write."""
    with night.redis.client() as client:
        try:
            client.set("anything", "x" * 5000)
        except RedisError as exc:
            return "MISCONF" in str(exc)
    return False


def test_a_redis_whose_disk_is_full_ends_no_worker(
    night: Night, small_disk: Path
) -> None:
    night.submit(count=6, steps=10)
    with night.working():
        night.wait_for(1)
        (worker,) = night.workers()
        fill(small_disk)
        wait_until(lambda: is_full(night))
        night.wait_for(6)
        said = night.run("submit", str(night.spec(count=9, steps=10)), code=1)
        assert "MISCONF" in said
        assert "Nothing is lost: run the command again" in said
        small_disk.unlink()
        wait_until(lambda: not is_full(night))
        night.run("submit", str(night.spec(count=9, steps=10)))
        night.wait_for(9)
        assert night.workers() == [worker]
        with night.redis.client() as client:
            client.delete("anything")
        night.check(done=9)
        check_log(night, outages=2)
    assert night.began() == 9


@pytest.fixture
def embedded(night: Night, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Give a night whose commands start the embedded server."""
    night.redis.kill()
    monkeypatch.delenv("NIGHTSWEEP_REDIS_URL")
    night.redis = RedisServer(night.settings.home / "redis")
    return night


@pytest.mark.long
def test_the_embedded_server_is_started_once_and_again_when_it_is_killed(
    embedded: Night,
) -> None:
    night = embedded
    specs = [night.spec(count=20, first=20 * n, name=f"n{n}") for n in range(4)]
    for process in [night.begin("submit", str(spec)) for spec in specs]:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    first = server_pids(night)
    assert len(first) == 1
    with night.working(2):
        night.wait_for(5)
        night.redis.kill()
        night.wait_for(80)
        wait_until(lambda: len(server_pids(night) - first) == 1)
        night.check(done=80)
    assert night.began() == 80
    night.run("down")


def server_pids(night: Night) -> set[int]:
    return {process.pid for process in find_servers(night.redis.folder)}
