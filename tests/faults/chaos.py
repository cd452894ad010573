"""Chaos: random faults for a night, and what they cost."""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import psutil

from tests.faults.night import Night
from tests.processes import PATIENCE_S

#: Slots of a worker, and what a job takes in one.
WIDTH = 4
STEPS = 20
STEP_S = 0.05
JOB_S = STEPS * STEP_S
#: Jobs of a sweep; the next is submitted when few are left.
JOBS = 240
FEW = 80
#: Workers that serve the queue, at least and at most.
FEWEST = 2
MOST = 4
#: Seconds between two faults, and that an outage lasts: shorter than a lease.
BETWEEN_S = (2.0, 8.0)
OUTAGE_S = (0.1, 6.0)
LEASE_S = 30


class Chaos:
    """Workers and producers of a night, and what befalls them.

    Attributes:
        happened: How often each fault was really had.
        killed: When each worker process was killed, by its id.
        sweeps: Their files.
    """

    def __init__(
        self,
        night: Night,
        *,
        seed: int,
        sql_away: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Begin with nothing started; `sql_away` is an outage of the database."""
        self.happened: Counter[str] = Counter()
        self.killed: dict[int, float] = {}
        self.sweeps: list[Path] = []
        self._night = night
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._sql_away = sql_away
        self._stack = ExitStack()
        self._supervisors: list[subprocess.Popen[bytes]] = []
        self._producers: list[subprocess.Popen[str]] = []
        #: Each tells whether there was anything that it could befall.
        self._faults: dict[str, Callable[[], bool]] = {
            "worker killed": self._kill_worker,
            "worker terminated": self._terminate_worker,
            "supervisor killed": self._kill_supervisor,
            "host lost": self._lose_host,
            "workers removed": self._remove_workers,
            "workers added": self._add_workers,
            "producer killed": self._kill_producer,
            "Redis killed": self._kill_redis,
            "Redis frozen": self._freeze_redis,
            "Redis cut off": self._cut_redis,
            "Redis emptied": self._empty_redis,
            "SQL away": self._lose_sql,
        }

    def __enter__(self) -> "Chaos":
        """Start the first workers."""
        for _ in range(FEWEST):
            self._add_workers()
        return self

    def __exit__(self, *_args: object) -> None:
        """End everything."""
        self._stack.close()

    def go_on(self, seconds: float) -> None:
        """Have faults for so long, and work all the while."""
        ends = time.monotonic() + seconds
        order: list[str] = []
        while time.monotonic() < ends:
            self._keep_busy()
            time.sleep(self._random.uniform(*BETWEEN_S))
            if not order:  # each comes again before any comes a third time
                order = self._random.sample(sorted(self._faults), len(self._faults))
            name = order.pop()
            self.happened[name] += self._faults[name]()

    def finish(self) -> int:
        """Have no more faults, and wait until all is made; give how many jobs."""
        self._await_producers()
        for path in self.sweeps:  # those whose producers were killed
            self._night.run("submit", str(path))
        jobs = JOBS * len(self.sweeps)
        last = -1
        while (done := self._night.states()["done"]) < jobs:
            assert done > last, self._night.states()
            last = done
            with suppress(AssertionError):
                self._night.wait_for(jobs)
        return jobs

    def work_twice(self) -> float:
        """Give how much was painted in vain because of kills, in jobs."""
        done, lost = 0, 0.0
        for stints in self._night.stints().values():
            done += sum(stint.is_done for stint in stints)
            for stint in stints:
                if stint.left is None and stint.process in self.killed:
                    worked_s = self.killed[stint.process] - stint.began
                    lost += min(worked_s / JOB_S, 1.0)
        return done - len(self._night.stints()) + lost

    def _keep_busy(self) -> None:
        if any(process.poll() is None for process in self._producers):
            return
        self._await_producers()
        if self._night.states()["pending"] > FEW:
            return
        number = len(self.sweeps)
        path = self._night.spec(
            count=JOBS, steps=STEPS, name=f"s{number}", first=JOBS * number
        )
        self.sweeps.append(path)
        self._producers = [self._night.begin("submit", str(path)) for _ in range(2)]

    def _await_producers(self) -> None:
        for process in self._producers:
            process.communicate()
        self._producers = []

    def _kill_worker(self) -> bool:
        self._note_killed(self._night.kill_a_worker())
        return True

    def _note_killed(self, *processes: psutil.Process) -> None:
        for process in processes:
            self.killed[process.pid] = time.monotonic()

    def _terminate_worker(self) -> bool:
        self._night.kill_a_worker(signal.SIGTERM)
        return True

    def _some_supervisor(self) -> "subprocess.Popen[bytes]":
        self._supervisors = [one for one in self._supervisors if one.poll() is None]
        self._fill_up()
        chosen = self._random.choice(self._supervisors)
        self._supervisors.remove(chosen)
        return chosen

    def _kill_supervisor(self) -> bool:
        """Kill a supervisor; its workers see that and end in order."""
        self._some_supervisor().kill()
        self._fill_up()
        return True

    def _lose_host(self) -> bool:
        """Kill a supervisor and its workers at the same time."""
        supervisor = self._some_supervisor()
        workers = psutil.Process(supervisor.pid).children()
        for process in (supervisor, *workers):
            process.kill()
        self._note_killed(*workers)
        self._fill_up()
        return True

    def _remove_workers(self) -> bool:
        supervisor = self._some_supervisor()
        supervisor.terminate()
        supervisor.wait(PATIENCE_S)
        self._fill_up()
        return True

    def _fill_up(self) -> None:
        while len(self._supervisors) < FEWEST:
            self._add_workers()

    def _add_workers(self) -> bool:
        if len(self._supervisors) == MOST:
            return False
        working = self._night.working(
            STAND_IN_WIDTH=WIDTH, STAND_IN_STEP_S=STEP_S, LEASE_S=LEASE_S
        )
        self._supervisors.append(self._stack.enter_context(working))
        return True

    def _kill_producer(self) -> bool:
        """Kill one at work; where all have ended, one that submits the last anew."""
        at_work = [process for process in self._producers if process.poll() is None]
        if not at_work:
            at_work = [self._night.begin("submit", str(self.sweeps[-1]))]
            self._producers += at_work
        chosen = self._random.choice(at_work)
        time.sleep(self._random.uniform(0.0, 2.0))
        is_at_work = chosen.poll() is None
        chosen.kill()
        return is_at_work

    def _outage_s(self) -> float:
        return self._random.uniform(*OUTAGE_S)

    def _kill_redis(self) -> bool:
        self._night.redis.kill()
        time.sleep(self._outage_s())
        self._night.redis.start()
        return True

    def _freeze_redis(self) -> bool:
        self._night.redis.freeze()
        time.sleep(self._outage_s())
        self._night.redis.thaw()
        return True

    def _cut_redis(self) -> bool:
        return self._night.redis.cut_connections() > 0

    def _empty_redis(self) -> bool:
        self._night.redis.lose_all()
        self._night.redis.start()
        return True

    def _lose_sql(self) -> bool:
        with self._sql_away():
            time.sleep(self._outage_s())
        return True
