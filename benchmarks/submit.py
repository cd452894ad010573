"""The speed and cost of submitting a large sweep while workers claim.

    python benchmarks/submit.py [--jobs N] [--append]

It submits a sweep of several axes, one of a single axis, and one that is interrupted by
Ctrl-C at 40 % and submitted again, each to its own state folder: a SQLite file and an
embedded Redis. Meanwhile four claimers take messages and claim as workers do: jobs of
the message's group, every tenth of a second.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import Empty
from typing import Any

import report
import sqlalchemy as sa
from celery import Celery

from producer.commands.submit import submit
from storage.broker.embedded import broker_url, stop
from storage.broker.queue import QUEUE, make_app, redis_client
from storage.errors import DatabaseError
from storage.host.worker_ids import my_name
from storage.jobs.claims import Claim, claim
from storage.jobs.runnable_groups import groups_of
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database
from storage.sql.schema import jobs

CLAIMERS = 4
#: Seconds between two claims of one claimer, and jobs in each: 640 jobs/s together, ten
#: times the speed of GPUs or more.
PAUSE_S = 0.1
CLAIM = 16
SPECS = {
    "several axes": """\
  prompt: "a {red|blue|green|white|black} {cat|dog|car|boat|tree} {by day|by night}"
  seed: {start: 0, count: %(seeds)d}
  scheduler: [pndm, ddim, lms, euler, euler_a, heun, dpmpp_2m, dpmpp_sde, unipc, ddpm]
  steps: [4, 8, 12, 20, 30]
  guidance: [1, 2.5, 5, 7.5]
""",
    "one axis": "  seed: {start: 0, count: %(jobs)d}\n",
}
#: Jobs for each seed in the sweep of several axes.
CELLS = 10_000
HEADER = (
    *("sweep", "jobs", "jobs/s", "first claim s", "claims", "p50 ms", "p99 ms"),
    *("max ms", "producer MB", "Redis MB"),
)
NOTES = """\
Jobs/s is over the whole of `submit`: reading, expanding, rows and messages. `first
claim` is the time from the first row to the first claim of a waiting process. A claim's
milliseconds include the wait for SQLite's write lock. MB are the peak of the producer's
process, and the memory of Redis at the end. For the interrupted sweep, jobs and jobs/s
are those of the second submission, which first skips the jobs already stored."""

spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """The figures of a producer's process: new jobs, seconds, peak memory."""

    new: int
    seconds: float
    peak_bytes: int


class Bench:
    """A state folder, and the processes that use it."""

    def __init__(self, settings: Settings, spec: Path) -> None:
        self.settings = settings
        self.spec = spec
        self.stored = spawn.Value("q", 0)
        self.answers: Any = spawn.Queue()
        self.claims: Any = spawn.Queue()
        self.over = spawn.Event()

    def start_producer(self) -> SpawnProcess:
        """Start a process that submits the sweep."""
        arguments = (self.settings, self.spec, self.stored, self.answers)
        process = spawn.Process(target=produce, args=arguments)
        process.start()
        return process

    def finish(self, process: SpawnProcess) -> Any:
        """Wait for a producer; return its figures, or None if it was interrupted."""
        process.join()
        if process.exitcode:
            sys.exit("The producer failed.")
        return self.answers.get()

    @contextmanager
    def claiming(self) -> Iterator[list[tuple[float, float]]]:
        """Run claimers within the block; yield a list that is filled at its end.

        Each entry is a claim's start, in Unix seconds, and its duration in seconds.
        """
        ready = spawn.Barrier(CLAIMERS + 1)
        arguments = (self.settings, ready, self.over, self.claims)
        claimers = [
            spawn.Process(target=claim_on, args=arguments) for _ in range(CLAIMERS)
        ]
        for process in claimers:
            process.start()
        ready.wait()
        timed: list[tuple[float, float]] = []
        try:
            yield timed
        finally:
            self.over.set()
            for _ in claimers:
                timed += self.claims.get()
            for process in claimers:
                process.join()
            timed.sort()


def produce(settings: Settings, spec: Path, stored: Any, answers: Any) -> None:
    """Submit the sweep, and put its figures on the queue `answers`."""

    def note(done: int, _total: int) -> None:
        stored.value = done

    # A shell makes its background jobs ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.perf_counter()
    try:
        done = submit(str(spec), settings=settings, progress=note)
    except KeyboardInterrupt:
        answers.put(None)
        return
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    answers.put(Produced(new=done.new, seconds=seconds, peak_bytes=peak))


def claim_on(settings: Settings, ready: Any, over: Any, answers: Any) -> None:
    """Wait for messages and claim, as a worker does, until `over` is set."""
    owner, timed = my_name(), []
    app = make_app(broker_url(settings))
    with (
        closing(app),
        closing(open_database(settings.database_url)) as database,
        app.connection_for_read() as connection,
    ):
        queue = connection.SimpleQueue(app.amqp.queues[QUEUE], no_ack=True)
        ready.wait()
        while not _is_over(over):
            with suppress(Empty):
                keys = queue.get(timeout=0.1).payload[0][0]
                timed += _take_turn(database, keys, owner, over)
    answers.put(timed)


def _take_turn(
    database: Database, keys: list[str], owner: str, over: Any
) -> Iterator[tuple[float, float]]:
    (group,) = groups_of(database, keys)  # a message is of one group
    while not _is_over(over):
        began, clock = time.time(), time.perf_counter()
        taken: list[Claim] = []
        with suppress(DatabaseError):  # a lock that was not free counts as a claim
            taken = claim(
                database, owner=owner, lease_s=3600.0, group=group, limit=CLAIM
            )
        yield began, time.perf_counter() - clock
        if not taken:
            return
        time.sleep(PAUSE_S)


def _is_over(over: Any) -> bool:
    parent = multiprocessing.parent_process()
    return over.is_set() or (parent is not None and not parent.is_alive())


def measure(name: str, axes: str, *, count: int, interrupt: bool = False) -> list[str]:
    """Submit a sweep to a new state folder; return its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "sweep.yaml")
        axes %= {"jobs": count, "seeds": max(1, count // CELLS)}
        spec.write_text(
            f"name: large\nlimits: {{max_jobs: {count}}}\n"
            f"base: {{model: 'builtin:shapes', prompt: 'a red circle'}}\naxes:\n{axes}"
        )
        settings = read_settings({"NIGHTSWEEP_HOME": f"{folder}/home"})
        settings.make_home()
        app = make_app(broker_url(settings))
        database = open_database(settings.database_url)
        try:
            bench = Bench(settings, spec)
            with bench.claiming() as timed:
                if interrupt:
                    _interrupt(bench, count)
                done = bench.finish(bench.start_producer())
            if _count(database) != count:
                sys.exit("A job is missing.")
            first_s = timed[0][0] - _first_row(database)
            row = _describe(name, done, timed, first_s, _redis_bytes(app))
            print(*row, sep="  ", file=sys.stderr)
            return row
        finally:
            database.close()
            app.close()
            stop(settings)


def _interrupt(bench: Bench, count: int) -> None:
    process = bench.start_producer()
    while bench.stored.value < 0.4 * count:
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGINT)
    if bench.finish(process) is not None:
        sys.exit("The sweep was submitted before the interrupt; take more jobs.")


def _describe(
    name: str,
    done: Produced,
    timed: list[tuple[float, float]],
    first_s: float,
    redis_bytes: int,
) -> list[str]:
    waits = sorted(1000 * seconds for _, seconds in timed)
    return [
        name,
        f"{done.new:,}",
        f"{done.new / done.seconds:,.0f}",
        f"{first_s:.2f}",
        f"{len(waits):,}",
        f"{waits[len(waits) // 2]:.0f}",
        f"{waits[len(waits) * 99 // 100]:.0f}",
        f"{waits[-1]:.0f}",
        f"{done.peak_bytes / 1e6:.0f}",
        f"{redis_bytes / 1e6:.0f}",
    ]


def _count(database: Database) -> int:
    with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(jobs)
        return int(connection.execute(query).scalar_one())


def _first_row(database: Database) -> float:
    with database.read() as connection:
        first = connection.execute(sa.select(sa.func.min(jobs.c.created_at)))
        return datetime.fromisoformat(first.scalar_one()).timestamp()


def _redis_bytes(app: Celery) -> int:
    with redis_client(app) as client:
        return int(client.info("memory")["used_memory"])


def main() -> None:
    """Measure each sweep and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--only", choices=SPECS, help="one sweep, not interrupted")
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(name, axes, count=options.jobs)
        for name, axes in SPECS.items()
        if options.only in (None, name)
    ]
    if not options.only:
        name = "several axes"
        row = measure(
            f"{name}, from 40 %", SPECS[name], count=options.jobs, interrupt=True
        )
        rows.append(row)
    table = report.table(HEADER, rows)
    print(table)
    if options.append:
        title = f"Submitting {options.jobs:,} jobs"
        report.append(title, report.command_line(), table, notes=NOTES)


if __name__ == "__main__":
    main()
