"""Two hosts of workers whose network fails: every image is made once all the same."""

import subprocess
import time
from pathlib import Path

import pytest

from storage.fleet.progress import list_workers
from tests.cluster.hosts import CUT_S, JOBS, STEPS, Cluster
from tests.cluster.network import CUT, GOOD, Way
from tests.processes import wait_until

pytestmark = pytest.mark.cluster

#: A bad line: a fifth of a second there and back, and one of twenty packets is lost.
BAD = Way(delay_s=0.1, loss=0.05)
#: Jobs for a single host whose line is slow.
FEW = 60
#: More jobs than a producer submits before its host is lost.
MANY = 20_000
CLOCK = Path(__file__).with_name("wrong_clock.c")


@pytest.mark.parametrize("lost", ["Redis", "SQL", "both"])
def test_a_host_is_cut_off_for_longer_than_a_lease(cluster: Cluster, lost: str) -> None:
    services = {"Redis": [cluster.queue], "SQL": [cluster.sql]}
    one, _ = cluster.workers
    cluster.submit()
    with cluster.working(*cluster.workers):
        cluster.wait_until_working(one)
        with cluster.network.troubled(one, *services.get(lost, cluster.services)):
            time.sleep(CUT_S)
        cluster.make_all()


@pytest.mark.parametrize("direction", ["out", "back"])
def test_packets_arrive_in_one_direction_only(cluster: Cluster, direction: str) -> None:
    one, _ = cluster.workers
    ways = {"out": GOOD, "back": GOOD, direction: CUT}
    cluster.submit()
    with cluster.working(*cluster.workers):
        cluster.wait_until_working(one)
        with cluster.network.troubled(one, *cluster.services, **ways):
            time.sleep(CUT_S)
        cluster.make_all()


def test_a_line_is_slow_and_loses_packets(cluster: Cluster) -> None:
    one, _ = cluster.workers
    cluster.submit(FEW)
    with (
        cluster.network.troubled(one, *cluster.services, out=BAD, back=BAD),
        cluster.working(one),
    ):
        cluster.make_all(FEW)


@pytest.mark.parametrize("seconds", [90, -90])
def test_a_clock_is_wrong(cluster: Cluster, tmp_path: Path, seconds: int) -> None:
    library = tmp_path / "wrong_clock.so"
    build = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK), "-ldl"]
    subprocess.run(build, check=True)
    one, two = cluster.workers
    wrong = {"LD_PRELOAD": str(library), "WRONG_BY_S": str(seconds)}
    cluster.submit()
    with cluster.working(one, **wrong), cluster.working(two):
        cluster.night.wait_for(20)
        seen = [(at.host, at.is_silent) for at in list_workers(cluster.night.database)]
        cluster.make_all()
    assert sorted(seen) == 2 * [("one", False)] + 2 * [("two", False)]
    assert not cluster.night.begun_by_two()
    assert cluster.night.began() == JOBS


def test_a_host_vanishes(cluster: Cluster) -> None:
    one, two = cluster.workers
    cluster.submit()
    with cluster.working(one, two):
        cluster.wait_until_working(one)
        cluster.network.lose(one)
        cluster.make_all()


def test_a_host_vanishes_while_it_holds_locks(cluster: Cluster) -> None:
    one, two = cluster.workers
    held = cluster.home(one).with_suffix(".held")
    cluster.submit()
    cluster.begin(one, "-m", "tests.cluster.lock_jobs", str(held))
    wait_until(held.exists)
    cluster.network.lose(one)
    with cluster.working(two):
        cluster.make_all()


def test_the_host_of_a_producer_vanishes(cluster: Cluster) -> None:
    cluster.begin_submission(MANY)
    wait_until(lambda: cluster.night.states().total() > 0)
    cluster.network.lose(cluster.producer)
    assert cluster.night.states().total() < MANY
    with cluster.working(*cluster.workers):
        cluster.night.wait_for(20)
    cluster.night.run("submit", str(cluster.night.spec(count=MANY, steps=STEPS)))
    assert cluster.night.states().total() == MANY
