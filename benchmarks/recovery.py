"""The time to recover from a fault: real processes, and a denoiser that sleeps.

    python benchmarks/recovery.py [--times 10] [--append]

Two workers use SQLite and the embedded Redis of their own state folder. Each fault is
caused several times in a row; the table has the median and the worst time.
"""

import argparse
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bench
import report
import sqlalchemy as sa

# The stand-in painter and the processes come from the fault tests.
sys.path.insert(0, str(Path(__file__).parents[1]))

from storage.sql.database import open_database
from storage.sql.schema import jobs
from tests.faults.night import STAND_IN, Night
from tests.faults.server import RedisServer

LEASE_S = 6
#: Seconds of a step that a single, and a double, Ctrl-C interrupts.
STEP_S = 1.0
LONG_STEP_S = 30.0
PATIENCE_S = 120
HEADER = ("fault", "what is waited for", "times", "median", "worst")
NOTES = """\
Seconds from the fault. Jobs are free when SQL says so; a job runs again when its row is
claimed again. For a lost host, all processes are killed at once, and their leases are
made to name another machine; its seconds are those beyond the lease of 6 s. The
supervisor checks Redis every second, and starts it again. A single Ctrl-C comes in the
middle of a step of 1 s, a double one in the middle of a step of 30 s."""

Figures = dict[tuple[str, str], list[float]]


def until(is_so: Callable[[], object]) -> float:
    """Wait until a condition holds; return the seconds it took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > PATIENCE_S:
            sys.exit("Work did not go on.")
        time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def a_night() -> Iterator[Night]:
    """Yield a night on SQLite with the embedded Redis."""
    with bench.own_state() as state:
        os.environ |= {
            "NIGHTSWEEP_HOME": str(state.settings.home),
            "NIGHTSWEEP_PAINTER": STAND_IN,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        database = open_database(state.settings.database_url)
        redis = RedisServer(state.settings.home / "redis")
        yield Night(
            state.settings, database=database, redis=redis, folder=state.settings.home
        )
        database.close()


def holds(night: Night, pid: int) -> bool:
    """Return whether a process has claimed jobs."""
    return any(f":{pid}:" in owner for owner in night.owners())


def kill_busy(night: Night, figures: Figures) -> None:
    """Kill one of two busy workers."""
    before = len(night.workers())
    victim = night.kill_a_worker()
    freed = until(lambda: not holds(night, victim.pid))
    again = freed + until(lambda: len(night.workers()) == before)
    figures["kill -9 of a worker", "its jobs are free"].append(freed)
    figures["kill -9 of a worker", "a new process"].append(again)
    until(lambda: len(night.owners()) == before)


def kill_beside_idle(night: Night, figures: Figures, number: int) -> None:
    """Kill the worker that has the only job, while another is idle."""
    sweep = f"one{number}"
    until(lambda: len(night.workers()) == 2)
    night.submit(count=1, steps=900, first=number, name=sweep)
    until(lambda: len(night.owners()) == 1)
    time.sleep(2)
    (owner,) = night.owners()
    night.kill_a_worker()
    taken = until(lambda: night.owners() and night.owners() != {owner})
    name = "kill -9 of a worker, another idle"
    figures[name, "the job runs again"].append(taken)
    # The job must not meet three deaths, which would quarantine it.
    night.run("cancel", sweep)
    until(lambda: not night.owners())


def lose_host(night: Night, figures: Figures) -> None:
    """Kill all processes at once, and make their leases another machine's."""
    with night.working(2, LEASE_S=LEASE_S) as supervisor:
        until(lambda: len(night.owners()) == 2)
        time.sleep(1)
        for process in (supervisor, *night.workers()):
            process.kill()
    with night.database.write() as connection:
        held = jobs.c.state == "leased"
        connection.execute(sa.update(jobs).where(held).values(owner="elsewhere.1:7:7"))
    ends = jobs.c.lease_until
    with night.database.read() as connection:
        last = connection.execute(sa.select(sa.func.max(ends)).where(held)).scalar()
    with night.working(2, LEASE_S=LEASE_S):
        until(lambda: not any("elsewhere" in owner for owner in night.owners()))
    figures["a host is lost", "its jobs are free, after the lease"].append(
        max(0.0, time.time() - float(last or 0))
    )


def kill_redis_at_work(night: Night, figures: Figures) -> None:
    """Kill Redis during turns, and wait until it is back and an image is made."""
    time.sleep(1)
    night.redis.kill()
    back = until(night.redis.answers)
    done = night.states()["done"]
    image = back + until(lambda: night.states()["done"] > done)
    figures["kill -9 of Redis, workers at work", "Redis is back"].append(back)
    figures["kill -9 of Redis, workers at work", "an image after that"].append(image)


def kill_redis_idle(night: Night, figures: Figures, number: int) -> None:
    """Kill Redis while workers are idle, submit a sweep, and wait for its images."""
    before = night.states().total()
    time.sleep(1)
    night.redis.kill()
    began = time.monotonic()
    night.submit(count=2, first=10_000 + 2 * number, name=f"idle{number}")
    until(lambda: night.states()["done"] == before + 2)
    figures["kill -9 of Redis, workers idle", "a new sweep is made"].append(
        time.monotonic() - began
    )


def stop(night: Night, figures: Figures, *, twice: bool) -> None:
    """Send Ctrl-C in the middle of a step, once or twice."""
    step_s = LONG_STEP_S if twice else STEP_S
    with night.working(2, STAND_IN_STEP_S=step_s) as supervisor:
        until(lambda: len(night.owners()) == 2)
        time.sleep(0.5)
        supervisor.send_signal(signal.SIGINT)
        if twice:
            time.sleep(0.5)
            supervisor.send_signal(signal.SIGINT)
        ended = until(lambda: supervisor.poll() is not None)
    if night.owners():
        sys.exit("A stop left jobs in hand.")
    name = "Ctrl-C twice" if twice else "Ctrl-C"
    figures[name, "exit"].append(ended)


def measure(times: int) -> Figures:
    """Cause each fault `times` times, and each stop and lost host a third as often."""
    figures: Figures = defaultdict(list)
    with a_night() as night:
        night.submit(count=50_000, steps=100)
        with night.working(2):
            until(lambda: len(night.owners()) == 2)
            for _ in range(times):
                kill_busy(night, figures)
            for _ in range(times):
                kill_redis_at_work(night, figures)
        for _ in range(max(times // 3, 1)):
            lose_host(night, figures)
            stop(night, figures, twice=False)
            stop(night, figures, twice=True)
    with a_night() as night, night.working(2, STAND_IN_STEP_S=STEP_S):
        for number in range(times):
            kill_beside_idle(night, figures, number)
    with a_night() as night, night.working(2):
        for number in range(times):
            kill_redis_idle(night, figures, number)
    return dict(figures)


def main() -> None:
    """Measure, and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--times", type=int, default=10, help="of each fault")

    options = bench.parse(__doc__, add)
    rows = [
        [*names, str(len(s)), f"{statistics.median(s):.2f}", f"{max(s):.2f}"]
        for names, s in measure(options.times).items()
    ]
    table = report.table(HEADER, rows)
    bench.publish(options, "Going on after a fault", table, notes=NOTES)


if __name__ == "__main__":
    main()
