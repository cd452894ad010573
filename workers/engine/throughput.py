"""Throughput of full batches: images per second, by width."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from statistics import median

import torch

from storage.errors import JobError
from storage.job import Job
from workers.engine.compiling import Compiled
from workers.engine.decoding import Fetched, fetch
from workers.engine.hub import Hub
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.vitals.tally import Tally

log = logging.getLogger(__name__)

#: The gain in images per second that makes a wider batch worth it, and the number of
#: widths in a row that may miss it.
WORTH = 1.03
PATIENCE = 2
#: Fewest full batches, and fewest images, that a rate is measured over.
BATCHES = 3
IMAGES = 8


def alike_jobs(jobs: Sequence[Job], counted: Mapping[int, int]) -> list[Job]:
    """Return the largest set of jobs that take equally many calls of the network.

    All rows of such a batch end together. So none is ever empty, and the rate depends
    on the width only.

    Args:
        jobs: The jobs to choose from.
        counted: Calls of the network by index into `jobs`; not empty.
    """
    counts = Counter(counted.values())
    most = max(counts.values())
    lengths = sorted(length for length, count in counts.items() if count == most)
    chosen = lengths[len(lengths) // 2]
    return [jobs[index] for index, length in counted.items() if length == chosen]


def measure_widths(
    starter: Starter,
    jobs: Sequence[Job],
    *,
    most: int,
    compiled: Compiled | None = None,
) -> Iterator[tuple[int, float | None]]:
    """Measure batches of width 1, 2, 4 and so on, until a wider one no longer pays.

    Args:
        starter: Prepares jobs of the pipeline.
        jobs: Made again and again with other seeds; all take equally many calls.
        most: Rows of the widest batch.
        compiled: The compiled networks; None if they are not compiled.

    Yields:
        A width and its images per second; None if the width does not fit into memory,
        which ends it.
    """
    best, in_vain, width = 0.0, 0, 1
    while width <= most and in_vain < PATIENCE:
        try:
            rate = _measure_width(starter, jobs, width, compiled)
        except torch.OutOfMemoryError as exc:
            log.warning(
                "%d rows do not fit: %s", width, str(exc), extra={"action": "no_room"}
            )
            yield width, None
            return
        yield width, rate
        in_vain = 0 if rate > WORTH * best else in_vain + 1
        best, width = max(best, rate), 2 * width


def _measure_width(
    starter: Starter, jobs: Sequence[Job], width: int, compiled: Compiled | None
) -> float:
    """Return the images per second of a batch that is always full.

    The first `width` images are left out, as a warm-up.
    """
    batches = 1 + max(BATCHES, IMAGES // width)
    # Another thread fetches the pictures, as in a worker.
    with ThreadPoolExecutor(1) as fetcher:
        source = _Endless(starter, jobs, fetcher, count=batches * width)
        first = source.give(width)
        Hub(starter, first, source, width=width, tally=Tally(), compiled=compiled).run()
        ends = [each.result() for each in source.done][width - 1 :: width]
    return width / median(end - began for began, end in itertools.pairwise(ends))


class _Endless:
    """A `Source` that repeats jobs with other seeds, `count` in all.

    Attributes:
        done: For each image, the moment when its pixels are there.
    """

    def __init__(
        self,
        starter: Starter,
        jobs: Sequence[Job],
        fetcher: ThreadPoolExecutor,
        *,
        count: int,
    ) -> None:
        self.done: list[Future[float]] = []
        self._starter = starter
        self._fetcher = fetcher
        each = (replace(job, seed=n) for n, job in enumerate(itertools.cycle(jobs)))
        self._jobs = itertools.islice(each, count)

    def give(self, count: int) -> list[Job]:
        """Return the next jobs."""
        return list(itertools.islice(self._jobs, count))

    def take(self) -> Job | None:
        """Return the next job, if any is left."""
        return next(self._jobs, None)

    def withdraw(self) -> list[Job]:
        """Return no jobs: all are wanted."""
        return []

    def check(self) -> None:
        """Do nothing: the measurement is never stopped."""

    def finish(self, run: Run) -> None:
        """Fetch the pixels."""
        self.done.append(self._fetcher.submit(self._wait, fetch(run)))

    def fail(self, job: Job, error: JobError) -> None:
        """Raise the error: a rate with failures in it would be meaningless."""
        del job
        raise error

    def _wait(self, fetched: Fetched) -> float:
        fetched.image(self._starter.clock)
        return time.perf_counter()
