"""How long `nightsweep rm` takes, and how long it keeps others from writing.

    python benchmarks/removal.py --images 100000

Makes a sweep of files of 4 kB with thumbnails in a new home, then removes it while
another process writes one row after the other, as workers do. Prints a table in
Markdown: seconds of the command, of its processor, and the longest wait of a writer.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from storage.files.folders import take_folder
from storage.files.images import relative_path
from storage.host.environment import Environment
from storage.job import Job, Model, PlannedJob
from storage.jobs.membership import add_jobs
from storage.jobs.results import Result, Timings, record_done
from storage.jobs.sweeps import save_sweep
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database, utc_now
from storage.sql.schema import jobs, workers

PAGE = 1000
PNG_BYTES, THUMBNAIL_BYTES = 4096, 1024
#: Seconds between two writes of the other process.
PAUSE_S = 0.001


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
            pixel_sha256="0" * 64,
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
    """Remove the sweep, and return what it took."""
    database = open_database(settings.database_url)
    idle = [write_row(database) for _ in range(200)]
    before, began = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "nightsweep", "rm", "big", "--yes"]
    process = subprocess.Popen(command)
    waits = []
    while process.poll() is None:
        waits.append(write_row(database))
        time.sleep(PAUSE_S)
    wall_s, after = time.perf_counter() - began, os.times()
    if process.returncode or any(settings.images.glob("??/??/*")):
        msg = "rm must remove every file, but some are left"
        raise SystemExit(msg)
    database.close()
    waits.sort()
    return {
        "images": count,
        "seconds": wall_s,
        "CPU s": after.children_user
        + after.children_system
        - before.children_user
        - before.children_system,
        "idle write, median ms": 1000 * sorted(idle)[len(idle) // 2],
        "write, median ms": 1000 * waits[len(waits) // 2],
        "write, 99 % ms": 1000 * waits[len(waits) * 99 // 100],
        "write, longest ms": 1000 * waits[-1],
    }


def write_row(database: Database) -> float:
    """Write a row as a heartbeat does; return the seconds that it took."""
    began = time.perf_counter()
    with database.write() as connection:
        connection.execute(sa.update(workers).values(seen_at=utc_now()))
    return time.perf_counter() - began


def write(figures: dict[str, float]) -> None:
    """Print the figures as a table."""
    out = sys.stdout.write
    out(f"| {' | '.join(figures)} |\n|{'---|' * len(figures)}\n")
    out(f"| {' | '.join(f'{value:,.4g}' for value in figures.values())} |\n")


if __name__ == "__main__":
    main()
