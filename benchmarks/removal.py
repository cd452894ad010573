"""How long `nightsweep rm` takes, and how long it keeps others from writing.

    python benchmarks/removal.py --images 100000

Makes a sweep of files of 4 kB with thumbnails in a new home, then removes it. Prints a
table in Markdown: the seconds of the command by the clock and of its processor, and how
long its transactions held the lock of SQLite, commit included.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from producer.cli import cli
from storage.files.folders import take_folder
from storage.files.images import relative_path
from storage.host.environment import Environment
from storage.job import Job, Model, PlannedJob
from storage.jobs.membership import add_jobs
from storage.jobs.results import Result, Timings, record_done
from storage.jobs.sweeps import save_sweep
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database, utc_now
from storage.sql.schema import jobs

PAGE = 1000
PNG_BYTES, THUMBNAIL_BYTES = 4096, 1024
PIXELS = "0" * 64


def main() -> None:
    """Measure one removal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="removal-") as home:
        os.environ["NIGHTSWEEP_HOME"] = home
        settings = read_settings()
        settings.make_home()
        fill(settings, asked.images)
        os.sync()  # so that the disk does not still write what was made
        write(measure(settings, asked.images))


def fill(settings: Settings, count: int) -> None:
    """Make a sweep of so many images, whose files are no real PNG."""
    database = open_database(settings.database_url)
    settings.images.mkdir(exist_ok=True)
    folder = take_folder(database, settings.images)
    sweep = save_sweep(database, "big", spec="", axes={})
    for start in range(0, count, PAGE):
        page = [plan(seed) for seed in range(start, min(start + PAGE, count))]
        add_jobs(database, sweep, page)
        for one in page:
            make_files(settings.images, one.job.key)
        record(database, page, folder.id)
    database.close()


def plan(seed: int) -> PlannedJob:
    """Return a job."""
    job = Job(
        model=Model(fingerprint="0" * 32, name="builtin:shapes"),
        dtype="float16",
        width=512,
        height=512,
        prompt="a cat",
        seed=seed,
        scheduler_class="DDIMScheduler",
        steps=20,
        guidance=7.5,
    )
    return PlannedJob(job=job, position=seed, evaluations=20, scheduler_name="ddim")


def make_files(images: Path, key: str) -> None:
    """Write an image and its thumbnail."""
    path = images / relative_path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(PNG_BYTES))
    path.with_suffix(".webp").write_bytes(bytes(THUMBNAIL_BYTES))


def record(database: Database, page: list[PlannedJob], folder_id: int | None) -> None:
    """Mark jobs as done."""
    keys = [one.job.key for one in page]
    with database.read() as connection:
        query = sa.select(jobs.c.id, jobs.c.key).where(jobs.c.key.in_(keys))
        rows = connection.execute(query).all()
    result = {
        row.id: Result(
            path=relative_path(row.key),
            size_bytes=PNG_BYTES,
            pixel_sha256=PIXELS,
            evaluations=20,
            timings=Timings(encode_s=0.1, denoise_s=0.5, decode_s=0.1, save_s=0.1),
            finished_at=utc_now(),
        )
        for row in rows
    }
    environment = Environment(gpu="CPU", host="bench", details={})
    record_done(
        database, result, worker="w", environment=environment, folder_id=folder_id
    )


def measure(settings: Settings, count: int) -> dict[str, float]:
    """Remove the sweep in this process, and return what that took."""
    held: list[tuple[float, float]] = []
    plain = Database.write

    @contextmanager
    def timed(database: Database) -> Iterator[Connection]:
        with plain(database) as connection:  # it holds the write lock from here on
            began, cpu = time.perf_counter(), time.process_time()
            yield connection
        held.append((time.perf_counter() - began, time.process_time() - cpu))

    began, cpu = time.perf_counter(), time.process_time()
    with patch.object(Database, "write", timed):
        cli(["rm", "big", "--yes"], standalone_mode=False)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    if any(settings.images.glob("??/??/*")):
        msg = "rm must remove every file, but some are left"
        raise SystemExit(msg)
    by_clock, by_cpu = (
        sorted(1000 * each for each in one) for one in zip(*held, strict=True)
    )
    return {
        "images": count,
        "seconds": wall_s,
        "CPU s": cpu_s,
        "transactions": len(held),
        "median ms": by_clock[len(held) // 2],
        "99 % ms": by_clock[len(held) * 99 // 100],
        "longest ms": by_clock[-1],
        "longest CPU ms": by_cpu[-1],
    }


def write(figures: dict[str, float]) -> None:
    """Print the figures as a table."""
    out = sys.stdout.write
    out(f"| {' | '.join(figures)} |\n|{'---|' * len(figures)}\n")
    out(f"| {' | '.join(f'{value:,.6g}' for value in figures.values())} |\n")


if __name__ == "__main__":
    main()
