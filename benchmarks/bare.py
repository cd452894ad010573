"""The painter alone: it takes jobs from a list, and its pictures are dropped.

`engine_overhead.py` runs `python benchmarks/bare.py SPEC`, which paints a sweep.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import workload

from storage.errors import JobError
from storage.job import Job
from workers.engine.torch_painter import TorchPainter
from workers.painting import Painting

#: Remembers the digests of weights, which are slow to compute.
DIGESTS = Path(tempfile.gettempdir()) / "nightsweep-benchmark-digests.json"
#: Most images that wait for their pixels, in batches; as in a worker.
WIDTHS_IN_HAND = 2
#: The width that this is counted in if the painter chooses its own.
WIDEST = 32


class Listed:
    """A painter's `Work` from a list; it notes when each picture is ready.

    Attributes:
        times: Seconds of `time.time()` at which pictures were ready.
        jobs: Their jobs, in the same order.
        kept: Number of finished jobs, whose pixels may not be there yet.
    """

    def __init__(self, jobs: Sequence[Job], width: int) -> None:
        self.times: list[float] = []
        self.jobs: list[Job] = []
        self.kept = 0
        self._left = deque(jobs)
        self._room = threading.BoundedSemaphore(WIDTHS_IN_HAND * width)
        self._fetcher = ThreadPoolExecutor(1)
        self._made: list[Future[None]] = []

    @property
    def has_more(self) -> bool:
        """Whether a job waits for the next free row."""
        return bool(self._left)

    def expect(self, width: int) -> None:
        """See `workers.painting.Work`."""

    def withdraw(self) -> list[Job]:
        """See `workers.painting.Work`."""
        return []

    def check(self) -> None:
        """See `workers.painting.Work`."""

    def gather(self, count: int) -> list[Job]:
        """See `workers.painting.Work`."""
        return [self._left.popleft() for _ in range(min(count, len(self._left)))]

    def take(self) -> Job | None:
        """See `workers.painting.Work`."""
        return self._left.popleft() if self._left else None

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        """See `workers.painting.Work`."""
        self.kept += 1
        self._room.acquire()
        self._made.append(self._fetcher.submit(self._fetch, job, fetch))

    def fail(self, job: Job, error: JobError) -> None:
        """See `workers.painting.Work`."""
        raise error

    def put_back(self, jobs: list[Job]) -> None:
        """See `workers.painting.Work`."""
        self._left.extendleft(reversed(jobs))

    def finish(self) -> None:
        """Wait for the last picture."""
        self._fetcher.shutdown()
        for made in self._made:
            made.result()

    def _fetch(self, job: Job, fetch: Callable[[], Painting]) -> None:
        try:
            fetch()
        finally:
            self._room.release()
        self.times.append(time.time())
        self.jobs.append(job)


class FixedWidth:
    """The `Widths` of a painter: one width for all jobs."""

    def __init__(self, width: int | None) -> None:
        self._width = width

    def get(self, _job: Job, _gpu: str) -> int | None:
        """Return the width; None lets the painter choose."""
        return self._width

    def set(self, _job: Job, _gpu: str, *, width: int, reason: str) -> None:
        """Note a narrower width, since the last one did not fit."""
        print(f"only {width} rows fit ({reason})")
        self._width = width


def make_painter(
    device: str, width: int | None, *, threads: int = 1, compiled: bool = False
) -> TorchPainter:
    """Make the painter of a worker, with a fixed width if one is given."""
    return TorchPainter(
        device,
        threads=threads,
        digests=DIGESTS,
        widths=FixedWidth(width),
        compile_networks=compiled,
    )


def paint(painter: TorchPainter, jobs: Sequence[Job], width: int) -> Listed:
    """Paint jobs of one group; return the work with its notes."""
    listed = Listed(jobs, width)
    painter.paint(listed)
    listed.finish()
    return listed


def main() -> None:
    """Paint a sweep, and print the times at which pictures were ready, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, help="default: the painter's choice")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    jobs = [one.job for one in workload.read_spec(options.spec)]
    painter = make_painter(
        options.device,
        options.width,
        threads=options.threads,
        compiled=options.compile,
    )
    print(json.dumps(paint(painter, jobs, options.width or WIDEST).times))


if __name__ == "__main__":
    main()
