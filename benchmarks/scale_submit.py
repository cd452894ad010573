"""A large sweep is submitted to PostgreSQL: how fast, and how large it gets."""

import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scale_server import INDEXES, SIZES, Observer, Work

from producer.commands.submit import submit
from storage.settings import Settings

NAME = "large"
#: Jobs for each seed; all of one group, which is the worst case for claims.
CELLS = 10_000
SPEC = """\
name: %(name)s
limits: {max_jobs: %(jobs)d}
base: {model: 'builtin:shapes'}
axes:
  prompt: "a {red|blue|green|white|black} {cat|dog|car|boat|tree} {by day|by night}"
  seed: {start: %(first)d, count: %(seeds)d}
  scheduler: [pndm, ddim, lms, euler, euler_a, heun, dpmpp_2m, dpmpp_sde, unipc, ddpm]
  steps: [4, 8, 12, 20, 30]
  guidance: [1, 2.5, 5, 7.5]
"""
PARTS = 10
HEADER = (
    "jobs stored",
    "jobs/s",
    "producer CPU ms",
    "server CPU ms",
    "pages",
    "WAL bytes",
)

spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A tenth of a submission: jobs, seconds, and what it cost both sides."""

    jobs: int
    seconds: float
    producer_s: float
    server: Work


class Marks:
    """Notes what each tenth of a submission took."""

    def __init__(self, url: str) -> None:
        """Begin; `url` is the database's."""
        self.parts: list[Part] = []
        self._observer = Observer(url)
        self._last = (0, time.perf_counter(), _own_cpu_s(), self._observer.look())

    def note(self, stored: int, total: int) -> None:
        """Take a submission's progress."""
        jobs, at, cpu_s, work = self._last
        if stored - jobs < total / PARTS and stored < total:
            return
        now = (stored, time.perf_counter(), _own_cpu_s(), self._observer.look())
        self.parts.append(
            Part(
                jobs=stored - jobs,
                seconds=now[1] - at,
                producer_s=now[2] - cpu_s,
                server=now[3] - work,
            )
        )
        self._last = now
        print(*describe(self.parts[-1], stored), sep="  ", flush=True)


def describe(part: Part, stored: int) -> list[str]:
    """Return the row of a part in the table; figures are those of a job."""
    each = part.jobs or 1
    return [
        f"{stored:,}",
        f"{part.jobs / part.seconds:,.0f}",
        f"{1000 * part.producer_s / each:.3f}",
        f"{1000 * part.server.cpu_s / each:.3f}",
        f"{part.server.buffers / each:.1f}",
        f"{part.server.wal_bytes / each:,.0f}",
    ]


def produce(settings: Settings, spec: Path) -> tuple[list[Part], int]:
    """Submit a sweep; return what its parts took, and the peak of memory."""
    marks = Marks(settings.database_url)
    submit(str(spec), settings=settings, progress=marks.note)
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return marks.parts, peak_bytes


def measure(settings: Settings, count: int) -> tuple[list[list[str]], int]:
    """Submit a sweep of `count` jobs; return the table and the peak of memory.

    The sweep has a whole number of seeds, and so at least `CELLS` jobs.
    """
    spec = settings.home / "large.yaml"
    seeds = max(1, count // CELLS)
    jobs = seeds * CELLS
    spec.write_text(SPEC % {"name": NAME, "jobs": jobs, "first": 0, "seeds": seeds})
    # A process of its own, for its CPU time and its memory.
    with ProcessPoolExecutor(1, spawn) as producer:
        parts, peak_bytes = producer.submit(produce, settings, spec).result()
    stored, rows = 0, []
    for part in parts:
        stored += part.jobs
        rows.append(describe(part, stored))
    return rows, peak_bytes


def sizes(observer: Observer) -> tuple[list[list[str]], list[list[str]]]:
    """Return the large tables with their bytes, and the large indexes."""
    tables = [
        [name, f"{rows:,}", f"{table / 1e6:,.0f}", f"{indexes / 1e6:,.0f}"]
        for name, rows, table, indexes in observer.ask(SIZES)
    ]
    found = observer.ask(INDEXES)
    return tables, [
        [name, f"{size / 1e6:,.0f}", f"{scans:,}"] for name, size, scans in found
    ]


def _own_cpu_s() -> float:
    return sum(os.times()[:2])
