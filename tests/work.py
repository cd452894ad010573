"""A painter's work without a queue, and work from a queue that is never late."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from storage.errors import JobError
from storage.job import Job
from storage.sql.database import Database
from storage.sql.schema import jobs
from workers.painting import Painter, Painting, Work


def go_on() -> None:
    """Do nothing: a check that lets every step pass."""


class Basket:
    """A `Work` with jobs of one group; it keeps their results.

    Attributes:
        waiting: Jobs that were not taken yet.
        in_hand: Jobs that were taken, and not yet kept, failed or put back.
        paintings: Finished paintings by key.
        failures: Errors of failed jobs by key.
        expected: The widths of all calls of `expect`.
        put_backs: The jobs of each call of `put_back`.
        unwanted: Keys of jobs that no sweep wants any more.
        withdrawn: Jobs that `withdraw` returned.
    """

    def __init__(self, *jobs: Job, check: Callable[[], None] = go_on) -> None:
        """Set the jobs, and the check before each step."""
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
        """Note the width."""
        self.expected.append(width)

    def gather(self, count: int) -> list[Job]:
        """Fetch finished pictures, and return the next jobs, up to `count`."""
        self.fetch()
        given = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
        self.in_hand += given
        return given

    def take(self) -> Job | None:
        """Return the next job if there is one."""
        if not self.waiting:
            return None
        self.in_hand.append(self.waiting.popleft())
        return self.in_hand[-1]

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        """Take over a finished job, to be fetched between batches."""
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
        """Return the unwanted jobs in hand."""
        gone = [job for job in self.in_hand if job.key in self.unwanted]
        self.withdrawn += gone
        for job in gone:
            self.in_hand.remove(job)
        return gone

    def fetch(self) -> None:
        """Fetch the pictures of the jobs that were kept."""
        kept, self._kept = self._kept, []
        for job, fetch in kept:
            try:
                self.paintings[job.key] = fetch()
            except JobError as exc:
                self.failures[job.key] = exc


def paint(
    painter: Painter, *jobs: Job, check: Callable[[], None] = go_on
) -> list[Painting]:
    """Paint jobs of one group; return their paintings in that order.

    Raises:
        JobError: One of them failed.
    """
    basket = run(painter, jobs, check=check)
    for error in basket.failures.values():
        raise error
    return [basket.paintings[job.key] for job in jobs]


def run(
    painter: Painter, jobs: Iterable[Job], *, check: Callable[[], None] = go_on
) -> Basket:
    """Paint jobs of one group, some of which may fail; return their basket."""
    basket = Basket(*jobs, check=check)
    painter.paint(basket)
    basket.fetch()
    assert not basket.waiting
    assert not basket.in_hand
    return basket


class Unhurried:
    """A painter whose rows wait for pending jobs, however slow SQL is.

    Steps of a very small network are faster than SQL; those of a real one are not.
    """

    def __init__(self, painter: Painter, database: Database) -> None:
        """Set the painter, and the database that knows of pending jobs."""
        self._painter = painter
        self._database = database

    def paint(self, work: Work) -> None:
        """Paint as the painter does."""
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
    """A `Widths` that remembers widths in memory."""

    def __init__(self, width: int | None = None) -> None:
        """Begin with a width for all jobs, or with none."""
        self.width = width
        self.noted: list[dict[str, Any]] = []

    def get(self, _job: Job, gpu: str) -> int | None:
        """Return the width that was noted last."""
        assert gpu
        return self.width

    def set(self, _job: Job, gpu: str, *, width: int, reason: str) -> None:
        """Note a width."""
        assert gpu
        self.width = width
        self.noted.append({"width": width, "reason": reason})
