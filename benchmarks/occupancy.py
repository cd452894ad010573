"""How full batches are: the share of rows that served a job.

    python benchmarks/occupancy.py [--widths 16 64] [--jobs 800] [--append]

Mixed jobs (20 schedulers, 10 to 50 steps, a quarter without guidance) go through a
worker's own turn: claims, prefetch, refilling, the tail, files and rows are real. Only
Celery is left out.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import bare
import bench
import report
import workload

from producer.commands.submit import submit
from storage.files.images import ImageFolder
from storage.host.worker_ids import my_name
from storage.settings import Settings
from storage.sql.database import open_database
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.execution.turn import Turn
from workers.vitals.tally import Tally

HEADER = ("width", "jobs", "calls", "rows", "useful rows", "occupancy", "images/s")
NOTES = """\
Occupancy is useful rows over rows, from the first call of the network to the last one
of the sweep."""


@contextmanager
def context_of(settings: Settings) -> Iterator[Context]:
    """Yield the context of a worker process."""
    owner = my_name()
    with closing(open_database(settings.database_url)) as database:
        yield Context(
            database=database,
            images=ImageFolder(settings.images),
            heartbeat=Heartbeat(database, owner=owner, lease_s=settings.lease_s),
            owner=owner,
            worker="cpu0",
            lease_s=settings.lease_s,
            should_stop=lambda: False,
        )


def run(options: argparse.Namespace, width: int) -> tuple[Tally, float]:
    """Make all jobs in one turn; return the counts of rows, and the seconds."""
    model = workload.find_model(options.model).find(options.models, options.device)
    with bench.own_state() as state:
        settings = state.settings
        spec = workload.write_spec(
            settings.home,
            model,
            workload.random_cells(options.jobs),
            prompts=workload.PROMPTS[:1],
            dtype=options.dtype,
        )
        submit(str(spec), settings=settings)
        keys = [one.job.key for one in workload.read_spec(spec)]
        painter = bare.make_painter(
            options.device, width, threads=options.threads, compiled=options.compile
        )
        with context_of(settings) as context:
            began = time.perf_counter()
            Turn(context=context, painter=painter).take(keys[:1])
            seconds = time.perf_counter() - began
        if (made := len(state.finished())) != options.jobs:
            sys.exit(f"{made} of {options.jobs} images were made.")
    return painter.tally, seconds


def measure(options: argparse.Namespace, width: int) -> list[str]:
    """Return the table's row for a width."""
    tally, seconds = run(options, width)
    return [
        str(width),
        f"{options.jobs:,}",
        f"{tally.calls:,}",
        f"{tally.rows:,}",
        f"{tally.useful:,}",
        f"{tally.occupancy:.3f}",
        f"{options.jobs / seconds:.1f}",
    ]


def main() -> None:
    """Measure each width and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
        parser.add_argument("--jobs", type=int, default=800)
        parser.add_argument("--threads", type=int, default=1)

    options = bench.parse(__doc__, add)
    rows = [measure(options, width) for width in options.widths]
    title = f"How full batches are: {options.model}, {options.device}"
    bench.publish(options, title, report.table(HEADER, rows), notes=NOTES)


if __name__ == "__main__":
    main()
