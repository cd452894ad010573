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
from workers.engine.decoding import Decoded, decode
from workers.engine.slot import Slot, Starter
from workers.engine.slots import Slots, Tally

log = logging.getLogger(__name__)

#: What a wider batch must gain to be worth it, and how many may fail to in a row.
WORTH = 1.03
PATIENCE = 2
#: Full batches, and images, that the rate at a width is taken from, at the least.
BATCHES = 3
IMAGES = 8


def alike_jobs(jobs: Sequence[Job], counted: Mapping[int, int]) -> list[Job]:
    """Choose jobs that take equally many calls of the network, as many as there are.

    A batch of them begins and ends together, so that none of its rows is ever empty,
    and what is measured is its width and nothing else.
    """
    counts = Counter(counted.values())
    most = max(counts.values())
    lengths = sorted(length for length, count in counts.items() if count == most)
    chosen = lengths[len(lengths) // 2]
    return [jobs[index] for index, length in counted.items() if length == chosen]


def measure_widths(
    starter: Starter, jobs: Sequence[Job], *, most: int
) -> Iterator[tuple[int, float | None]]:
    """Yield images per second of ever wider batches, until that no longer pays.

    Args:
        starter: Readies jobs of the pipeline.
        jobs: They are made again and again; all take equally many calls.
        most: Rows of the widest batch.

    Yields:
        A width and its images per second; None where it does not fit into memory,
        which ends it.
    """
    best, in_vain, width = 0.0, 0, 1
    while width <= most and in_vain < PATIENCE:
        try:
            rate = _measure_width(starter, jobs, width)
        except torch.OutOfMemoryError as exc:
            log.warning(
                "%d rows do not fit: %s", width, str(exc), extra={"action": "no_room"}
            )
            yield width, None
            return
        yield width, rate
        in_vain = 0 if rate > WORTH * best else in_vain + 1
        best, width = max(best, rate), 2 * width


def _measure_width(starter: Starter, jobs: Sequence[Job], width: int) -> float:
    """Return the images per second of a batch that is full all the time.

    The first time that it is filled is left out, as a warm-up.
    """
    batches = 1 + max(BATCHES, IMAGES // width)
    source = _Endless(jobs, batches * width)
    done: list[Future[float]] = []

    def fetch(decoded: Decoded) -> float:
        decoded.image(starter.family.pipe, starter.clock)
        return time.perf_counter()

    def finish(slot: Slot, latents: torch.Tensor) -> None:
        decoded = decode(starter.family, latents, slot.job, clock=starter.clock)
        done.append(fetcher.submit(fetch, decoded))

    # Pictures are fetched in another thread, as in a worker.
    with ThreadPoolExecutor(1) as fetcher, starter.family.decoding():
        first = source.give(width)
        Slots(starter, first, source, width=width, finish=finish, tally=Tally()).run()
        ends = [each.result() for each in done][width - 1 :: width]
    return width / median(end - began for began, end in itertools.pairwise(ends))


class _Endless:
    """Jobs that come round again with other seeds, up to a number; a `Source`."""

    def __init__(self, jobs: Sequence[Job], count: int) -> None:
        each = (replace(job, seed=n) for n, job in enumerate(itertools.cycle(jobs)))
        self._jobs = itertools.islice(each, count)

    def give(self, count: int) -> list[Job]:
        """Return the next jobs."""
        return list(itertools.islice(self._jobs, count))

    def take(self) -> Job | None:
        """Return the next job, if any is left."""
        return next(self._jobs, None)

    def fail(self, job: Job, error: JobError) -> None:
        """Give up: a rate with failures in it would say nothing."""
        del job
        raise error

    def withdraw(self) -> list[Job]:
        """Return no jobs: all are wanted."""
        return []

    def check(self) -> None:
        """Never stop."""
