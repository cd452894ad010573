"""What a fleet asks of PostgreSQL: by call, together, and at most."""

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import scale_fleet
from scale_fleet import CLIENTS, PER_HOST, THREADS, Tally
from scale_server import Observer, Work

from storage.broker.embedded import broker_url
from storage.broker.queue import make_app
from storage.jobs import claims
from storage.jobs.runnable_groups import runnable_groups
from storage.settings import Settings
from storage.sql.database import Database, open_database

#: Calls of each kind whose mean is taken.
CALLS = 100
#: Seconds between two looks at who waits for whom.
SAMPLE_S = 0.05
WAITS = """
    SELECT wait_event_type || ':' || wait_event FROM pg_stat_activity
    WHERE state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()
    AND backend_type = 'client backend'
"""
STATEMENTS = """
    SELECT calls, total_exec_time / calls, (shared_blks_hit + shared_blks_read) / calls,
        total_exec_time, regexp_replace(left(query, 400), E'\\\\s+', ' ', 'g')
    FROM pg_stat_statements WHERE calls > 0 AND dbid =
        (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY total_exec_time DESC LIMIT %s
"""
CALLS_HEADER = ("call", "calls", "p50 ms", "p99 ms", "failed")
HEADER = ("call", "calls/s", "server CPU ms", "pages", "statements", "cores")

spawn = multiprocessing.get_context("spawn")


def the_group(database: Database) -> str:
    """Return the group of the benchmark's jobs."""
    return runnable_groups(database)[0].key


def costs(settings: Settings, workers: int) -> list[list[str]]:
    """Return what a call of each kind costs the server, one after the other.

    All workers hold their jobs meanwhile, as `fill` claimed them.
    """
    app = make_app(broker_url(settings))
    observer = Observer(settings.database_url)
    rows, total = [], 0.0
    with closing(open_database(settings.database_url)) as database, closing(app):
        group = the_group(database)
        some = [scale_fleet.SimulatedWorker(database, group, n) for n in range(4)]
        for one in some:
            one.fill()
        supervisor = scale_fleet.SimulatedSupervisor(database, app)
        chance = random.Random(1)  # noqa: S311 - a benchmark
        actors = {**{n: (workers, one) for n, one in enumerate(some)}}
        calls: dict[str, tuple[float, list[Callable[[], Any]]]] = {}
        for many, actor in (*actors.values(), (workers // PER_HOST, supervisor)):
            for kind, (every_s, act) in actor.calls(chance).items():
                calls.setdefault(kind, (many / every_s, []))[1].append(act)
        for kind, (per_s, acts) in calls.items():
            work = _work_of(observer, acts)
            cores = per_s * work.cpu_s / CALLS
            total += cores
            rows.append(_row(kind, per_s, work, cores))
            print(*rows[-1], sep="  ", flush=True)
    observer.close()
    return [*rows, ["together", "", "", "", "", f"{total:.2f}"]]


def _work_of(observer: Observer, acts: Sequence[Callable[[], Any]]) -> Work:
    before = observer.look()
    for number in range(CALLS):
        acts[number % len(acts)]()
    return observer.look() - before


def _row(kind: str, per_s: float, work: Work, cores: float) -> list[str]:
    each = [work.buffers / CALLS, work.calls / CALLS]
    return [
        kind,
        f"{per_s:,.0f}",
        f"{1000 * work.cpu_s / CALLS:.2f}",
        f"{each[0]:,.0f}",
        f"{each[1]:.1f}",
        f"{cores:.2f}",
    ]


def hold_jobs(settings: Settings, workers: int) -> int:
    """Have every worker hold its jobs; return how many that are."""
    with closing(open_database(settings.database_url)) as database:
        group = the_group(database)
        held = claims.leased_owners(database)
        for number in range(workers):
            one = scale_fleet.SimulatedWorker(database, group, number)
            if one.owner not in held:
                one.fill()
    with closing(Observer(settings.database_url)) as observer:
        return int(
            observer.ask("SELECT count(*) FROM jobs WHERE state = 'leased'")[0][0]
        )


def together(
    settings: Settings, workers: int, seconds: float, url: str = ""
) -> dict[str, Any]:
    """Run a whole fleet for some simulated seconds; return what was seen.

    Args:
        settings: Where the jobs are.
        workers: How many.
        seconds: Of simulated time.
        url: The database for clients, if they go through a pooler.
    """
    with closing(open_database(settings.database_url)) as database:
        group = the_group(database)
    fleet = scale_fleet.Fleet(
        url=url or settings.database_url,
        redis_url=broker_url(settings),
        group=group,
        seconds=seconds,
        barrier=spawn.Barrier(CLIENTS * THREADS + 1),
        ended=spawn.Barrier(CLIENTS + 1),
        answers=spawn.Queue(),
    )
    clients = []
    for place in range(CLIENTS):
        mine = [n for n in range(workers) if n // PER_HOST % CLIENTS == place]
        run = spawn.Process(target=scale_fleet.run_client, args=(fleet, mine))
        run.start()
        clients.append(run)
    with closing(Observer(settings.database_url)) as observer:
        fleet.barrier.wait()
        observer.ask("SELECT pg_stat_statements_reset()")
        before, began = observer.look(), time.perf_counter()
        fleet.barrier.wait()
        with sampling(settings.database_url) as waits:
            tally = Tally()
            for _ in clients:
                tally.add(fleet.answers.get())
        took_s, work = time.perf_counter() - began, observer.look() - before
        fleet.ended.wait()
        statements = observer.ask(STATEMENTS, 12)
        deadlocks = observer.ask(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )[0][0]
    for client in clients:
        client.join()
    return {
        "tally": tally,
        "took_s": took_s,
        "work": work,
        "waits": waits,
        "statements": statements,
        "deadlocks": deadlocks,
    }


def describe(found: Mapping[str, Any]) -> list[list[str]]:
    """Return how long calls of each kind took the clients, by the clock."""
    rows = []
    for kind, took in found["tally"].took.items():
        took.sort()
        at = [1000 * took[len(took) * share // 100] for share in (50, 99)]
        failed = found["tally"].failed.get(kind, 0)
        row = [kind, f"{len(took):,}", *(f"{each:.0f}" for each in at), str(failed)]
        rows.append(row)
    return rows


def summary(found: Mapping[str, Any], seconds: float) -> str:
    """Return what the server did, as sentences."""
    work, waits = found["work"], found["waits"]
    looks = waits.pop("looks", 1)
    waited = ", ".join(f"{name} {n / looks:.2f}" for name, n in waits.most_common(6))
    return (
        f"{seconds:g} simulated seconds took {found['took_s']:.0f} s by the clock and "
        f"{work.cpu_s:.1f} s of the server's CPU: {work.cpu_s / seconds:.2f} cores. "
        f"{work.calls / seconds:,.0f} statements and "
        f"{work.wal_bytes / seconds / 1e6:.1f} MB of the log each second. "
        f"Deadlocks: {found['deadlocks']}. Statements at any moment, by what they "
        f"waited for: {waited}."
    )


@contextmanager
def sampling(url: str) -> Iterator[Counter[str]]:
    """Count what active statements wait for; `running` is a statement that does not."""
    found: Counter[str] = Counter()
    over = threading.Event()

    def sample() -> None:
        with closing(Observer(url)) as observer:
            while not over.wait(SAMPLE_S):
                found["looks"] += 1
                found.update(event or "running" for (event,) in observer.ask(WAITS))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
