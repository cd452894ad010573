"""Work for a painter without a queue, and work from a queue that is never late."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from storage.errors import JobError
from storage.job import Job
from storage.sql.database import Database
from storage.sql.schema import jobs
from workers.painting import Painter, Painting, Work


def go_on() -> None:
    """Let every step pass."""


class Basket:
    """Jobs of one group for a painter, and what became of them; a `Work`.

    Attributes:
        waiting: Jobs that nobody took yet.
        in_hand: Jobs that were taken, and neither kept nor failed nor put back.
        paintings: What was painted, by key.
        failures: Errors of the jobs that failed, by key.
        expected: What `expect` was called with.
        put_backs: What each call of `put_back` gave back.
        unwanted: Keys of jobs that nobody wants any more.
        withdrawn: Those that were let go for it.
    """

    def __init__(self, *jobs: Job, check: Callable[[], None] = go_on) -> None:
        """Take the jobs, and what is called before each step."""
        self.check = check
        self.waiting = deque(jobs)
        self.in_hand: list[Job] = []
        self.paintings: dict[str, Painting] = {}
        self.failures: dict[str, JobError] = {}
        self.expected: list[int] = []
        self.put_backs: list[list[Job]] = []
        self.unwanted: set[str] = set()
        self.withdrawn: list[Job] = []
        self._kept: list[tuple[Job, Callable[[], Painting]]] = []

    def expect(self, width: int) -> None:
        """Note how many jobs are painted at once."""
        self.expected.append(width)

    def gather(self, count: int) -> list[Job]:
        """Give as many jobs as there are, up to `count`; before, fetch all."""
        self.fetch()
        given = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
        self.in_hand += given
        return given

    def take(self) -> Job | None:
        """Give the next job if there is one."""
        if not self.waiting:
            return None
        self.in_hand.append(self.waiting.popleft())
        return self.in_hand[-1]

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        """Take over a finished job; it is fetched when no step is running."""
        self.in_hand.remove(job)
        self._kept.append((job, fetch))

    def fail(self, job: Job, error: JobError) -> None:
        """Take over a job that cannot be painted."""
        self.in_hand.remove(job)
        self.failures[job.key] = error

    def put_back(self, jobs: list[Job]) -> None:
        """Take back jobs that were begun in vain."""
        self.put_backs.append(list(jobs))
        for job in jobs:
            self.in_hand.remove(job)
        self.waiting.extendleft(reversed(jobs))

    def withdraw(self) -> list[Job]:
        """Give what is in hand and not wanted."""
        gone = [job for job in self.in_hand if job.key in self.unwanted]
        self.withdrawn += gone
        for job in gone:
            self.in_hand.remove(job)
        return gone

    def fetch(self) -> None:
        """Fetch what was kept."""
        kept, self._kept = self._kept, []
        for job, fetch in kept:
            try:
                self.paintings[job.key] = fetch()
            except JobError as exc:
                self.failures[job.key] = exc


def paint(
    painter: Painter, *jobs: Job, check: Callable[[], None] = go_on
) -> list[Painting]:
    """Paint jobs of one group; give their pictures in that order.

    Raises:
        JobError: One of them failed.
    """
    basket = Basket(*jobs, check=check)
    painter.paint(basket)
    basket.fetch()
    for error in basket.failures.values():
        raise error
    assert not basket.waiting
    assert not basket.in_hand
    return [basket.paintings[job.key] for job in jobs]


class Unhurried:
    """A painter that always takes a job that can be had, however slow SQL is.

    A network that costs nothing outruns SQL, as no real one does.
    """

    def __init__(self, painter: Painter, database: Database) -> None:
        """Take the painter, and where it is seen that there are jobs."""
        self._painter = painter
        self._database = database

    def paint(self, work: Work) -> None:
        """Paint as the other does."""
        self._painter.paint(_UnhurriedWork(work, self._database))  # type: ignore[arg-type]


class _UnhurriedWork:
    def __init__(self, work: Work, database: Database) -> None:
        self._work = work
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    def take(self) -> Job | None:
        job = self._work.take()
        while job is None and self._count_pending():
            self._work.check()
            time.sleep(0.002)
            job = self._work.take()
        return job or self._work.take()

    def _count_pending(self) -> int:
        query = sa.select(sa.func.count()).where(jobs.c.state == "pending")
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


class Notes:
    """Widths of batches, remembered for as long as the test runs; a `Widths`."""

    def __init__(self, width: int | None = None) -> None:
        """Begin with a width for all jobs, or with nothing known."""
        self.width = width
        self.noted: list[dict[str, Any]] = []

    def get(self, _job: Job, gpu: str) -> int | None:
        """Give the width that was noted last."""
        assert gpu
        return self.width

    def set(self, _job: Job, gpu: str, *, width: int, reason: str) -> None:
        """Note a width."""
        assert gpu
        self.width = width
        self.noted.append({"width": width, "reason": reason})
