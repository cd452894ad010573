"""A hundred hosts of eight GPUs: their SQL, call by call, in simulated time.

Each simulated worker calls what a worker's threads call, at the same intervals, through
the same functions and connections of its own client; only painting takes no time. So
what the server spent in simulated seconds is what it needs for such a fleet, however
slow the machine of the benchmark is. Clients are processes with a few threads each: as
many transactions are open at once as there are threads.
"""

import heapq
import multiprocessing
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from storage.broker.queue import make_app, waiting
from storage.errors import DatabaseError
from storage.fleet import registry
from storage.fleet.registry import Entry
from storage.host.environment import Environment
from storage.jobs import blocked_groups, budgets, claims, lifecycle
from storage.jobs.claims import Claim
from storage.jobs.results import Result, Timings, record_done
from storage.jobs.runnable_groups import runnable_groups
from storage.scores import score_claims
from storage.sql.database import Database, open_database, utc_now

#: Images that a worker paints at once, and seconds of one image in such a batch.
WIDTH = 16
IMAGE_S = 64.0
#: Jobs of a claim: prefetch keeps a width ready, and claims when half of it is taken.
CLAIMED = WIDTH // 2
#: Seconds of a lease; simulated time may be slower than the clock.
LEASE_S = 3600.0
PER_HOST = 8
CLIENTS, THREADS = 2, 12

spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Tally:
    """Calls of each kind: how long they took, in seconds, and how many failed."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def time(self, kind: str, act: Callable[[], Any]) -> Any:
        """Call `act`; a lock that is not free in time counts as a failure."""
        began = time.perf_counter()
        try:
            return act()
        except DatabaseError:
            self.failed[kind] += 1
        finally:
            self.took[kind].append(time.perf_counter() - began)

    def add(self, other: "Tally") -> None:
        """Add what another thread counted."""
        for kind, took in other.took.items():
            self.took[kind] += took
        for kind, count in other.failed.items():
            self.failed[kind] += count


class SimulatedWorker:
    """One GPU: what it holds, and the calls that its threads make."""

    def __init__(self, database: Database, group: str, number: int) -> None:
        """Begin with nothing in hand."""
        self._database, self._group = database, group
        self.host, self.name = f"host{number // PER_HOST}", f"gpu{number % PER_HOST}"
        self.owner = f"{self.host}:{number}:{self.name}:0"
        self._waiting: list[Claim] = []
        self._painted: list[Claim] = []
        self._images = 0

    def calls(
        self, chance: random.Random
    ) -> dict[str, tuple[float, Callable[[], Any]]]:
        """Return the calls by name, each with its interval in simulated seconds."""
        image_s = IMAGE_S / WIDTH
        return {
            "unwanted jobs": (0.5, self._find_unwanted),
            "heartbeat": (15.0, self._beat),
            "registry": (3.0, self._note),
            "claim": (image_s * CLAIMED, self._look),
            "result": (image_s, self._record),
        }

    def fill(self) -> None:
        """Claim a batch and as much ahead of need."""
        self._claim(WIDTH)
        self._painted, self._waiting = self._waiting, []
        self._claim(WIDTH)

    def _find_unwanted(self) -> None:
        claims.unwanted(self._database, self.owner)

    def _beat(self) -> None:
        ids = [one.id for one in (*self._painted, *self._waiting)]
        claims.renew(self._database, owner=self.owner, ids=ids, lease_s=LEASE_S)

    def _note(self) -> None:
        now = utc_now()
        entry = Entry(
            owner=self.owner,
            name=self.name,
            host=self.host,
            gpu="simulated",
            phase="painting",
            started_at=now,
            phase_at=now,
            images=self._images,
        )
        registry.note(self._database, entry)

    def _look(self) -> None:
        """Look around and claim, as prefetch does when half of its jobs are taken."""
        blocked_groups.resting(self._database)
        runnable_groups(self._database, "torch")
        workers = len(claims.leased_owners(self._database))
        horizon = 2 * WIDTH * workers + 1
        claims.count_runnable(self._database, self._group, up_to=horizon)
        self._claim(CLAIMED)

    def _claim(self, limit: int) -> None:
        self._waiting += claims.claim(
            self._database,
            owner=self.owner,
            lease_s=LEASE_S,
            group=self._group,
            limit=limit,
            fresh=True,
        )

    def _record(self) -> None:
        if not self._painted:
            return
        one = self._painted.pop(0)
        if self._waiting:
            self._painted.append(self._waiting.pop(0))
        record(self._database, [one], owner=self.owner, worker=self.name)
        self._images += 1
        blocked_groups.lift(
            self._database, self._group, host=self.host, worker=self.name
        )


class SimulatedSupervisor:
    """What the supervisor of a host asks every five seconds."""

    def __init__(self, database: Database, app: Any) -> None:
        """Take the database, and the app for Redis."""
        self._database, self._app = database, app

    def calls(
        self, _chance: random.Random
    ) -> dict[str, tuple[float, Callable[[], Any]]]:
        """As for a worker."""
        return {"repair": (5.0, self._repair)}

    def _repair(self) -> None:
        for held in (claims, score_claims):
            held.free_expired(self._database)
            held.leased_owners(self._database)
        budgets.stop_reached(self._database)
        lifecycle.settle_all(self._database)
        lifecycle.judge(self._database)
        registry.remove_the_gone(self._database)
        for backend in ("torch", "flax"):
            waiting(self._app, backend)


def record(database: Database, done: list[Claim], *, owner: str, worker: str) -> None:
    """Record images of jobs, as the writer of a worker does."""
    timings = Timings(
        queue_s=1.0, encode_s=0.01, denoise_s=4.0, decode_s=0.1, save_s=0.1
    )
    rows = {
        one.id: Result(
            path=f"{one.job.key[:2]}/{one.job.key[2:4]}/{one.job.key}.png",
            size_bytes=400_000,
            pixel_sha256=2 * one.job.key,
            engine="slots",
            batch_width=WIDTH,
            evaluations=one.evaluations,
            timings=timings,
            finished_at=utc_now(),
        )
        for one in done
    }
    environment = Environment(gpu="simulated", host="simulated", details={})
    record_done(database, rows, worker=worker, environment=environment, owner=owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What all clients share.

    Attributes:
        url: The database.
        redis_url: The broker.
        group: The group of the jobs.
        seconds: How long it lasts, in simulated time.
        barrier: Passed when all workers hold their jobs, and again to begin.
        ended: Passed when the server was looked at; then clients may disconnect.
        answers: Takes the tally of each client.
    """

    url: str
    redis_url: str
    group: str
    seconds: float
    barrier: Any
    ended: Any
    answers: Any


def run_client(fleet: Fleet, numbers: list[int]) -> None:
    """Simulate some workers, and the supervisors of their hosts, in a few threads."""
    app = make_app(fleet.redis_url)
    with closing(open_database(fleet.url)) as database:
        workers = [SimulatedWorker(database, fleet.group, number) for number in numbers]
        firsts = [number for number in numbers if number % PER_HOST == 0]
        supervisors = [SimulatedSupervisor(database, app) for _ in firsts]
        total, lock = Tally(), threading.Lock()

        def run(place: int) -> None:
            mine: list[Any] = workers[place::THREADS]
            for worker in mine:
                worker.fill()
            fleet.barrier.wait()  # all of the fleet is at work
            fleet.barrier.wait()  # the observer has looked
            tally = play([*mine, *supervisors[place::THREADS]], fleet.seconds, place)
            with lock:
                total.add(tally)

        threads = [threading.Thread(target=run, args=[n]) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fleet.answers.put(total)
        fleet.ended.wait()  # the observer has looked, while the server's processes live


def play(actors: list[Any], seconds: float, seed: int) -> Tally:
    """Make the calls of some actors in the order of simulated time."""
    tally, chance = Tally(), random.Random(seed)  # noqa: S311 - a benchmark
    due = [
        (chance.random() * every_s, number, kind, every_s, act)
        for number, (kind, every_s, act) in enumerate(_calls(actors, chance))
    ]
    heapq.heapify(due)
    while due and due[0][0] < seconds:
        at, number, kind, every_s, act = heapq.heappop(due)
        tally.time(kind, act)
        heapq.heappush(due, (at + every_s, number, kind, every_s, act))
    return tally


def _calls(
    actors: list[Any], chance: random.Random
) -> Iterator[tuple[str, float, Callable[[], Any]]]:
    for actor in actors:
        for kind, (every_s, act) in actor.calls(chance).items():
            yield kind, every_s, act
