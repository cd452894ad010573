"""A night's images into a bucket that answers in 30 ms, against a local folder.

    python benchmarks/bucket_night.py [--images 10000] [--step-s 0.05] [--append]

The workers are real, and so are Redis, SQL and files. The painter is a stand-in that
sleeps in each step, as a GPU would keep it waiting; `--step-s 0` leaves out the sleep,
so that all that is left is what is measured. The bucket is `bucket_server.py`.
"""

import argparse
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import bench
import report

ROOT = Path(__file__).parents[1]
STEPS = 4
#: The first images, while workers start, are not counted.
BEGIN = 0.05
HEADER = (
    *("images", "workers", "step, s", "folder, images/s", "bucket, images/s", "share"),
    *("folder, CPU ms", "bucket, CPU ms"),
)
NOTES = """\
Images/s from the twentieth part of the images to the last one; the share is the median
of the ratios within one round. CPU: that of all workers together for an image, their
start included."""


@contextmanager
def serve_bucket(latency_ms: float) -> Iterator[dict[str, str]]:
    """Serve an empty bucket; yield the settings of processes that use it."""
    script = str(Path(__file__).with_name("bucket_server.py"))
    with subprocess.Popen(
        [sys.executable, script, "--latency-ms", str(latency_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin  # noqa: S101
        assert process.stdout  # noqa: S101
        yield {
            "NIGHTSWEEP_IMAGES": "s3://pictures/night",
            "AWS_ENDPOINT_URL": process.stdout.readline().strip(),
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_REGION": "us-east-1",
        }
        process.stdin.close()


def write_spec(folder: Path, *, images: int, side_px: int) -> Path:
    """Write a sweep of as many seeds."""
    path = folder / "night.yaml"
    path.write_text(
        f"name: night\nlimits: {{max_jobs: {images}}}\n"
        f"base: {{model: 'builtin:shapes', prompt: a cat, steps: {STEPS}, "
        f"width: {side_px}, height: {side_px}}}\n"
        f"axes: {{seed: {{start: 0, count: {images}}}}}\n"
    )
    return path


def count_results(state: bench.State) -> int:
    """Return how many images are made."""
    path = state.settings.home / "nightsweep.db"
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        count: int = connection.execute("SELECT count(*) FROM results").fetchone()[0]
    return count


def run(options: argparse.Namespace, env: dict[str, str]) -> tuple[float, float]:
    """Make the sweep; return images/s, and the CPU milliseconds of an image."""
    stand_in = {
        "NIGHTSWEEP_PAINTER": "tests.stand_in:make_painter",
        "NIGHTSWEEP_STAND_IN_WIDTH": str(options.width),
        "NIGHTSWEEP_STAND_IN_STEP_S": str(options.step_s),
        "PYTHONPATH": str(ROOT),
    }
    with bench.own_state(**stand_in, **env) as state:
        images, home = options.images, state.settings.home
        spec = write_spec(home, images=images, side_px=options.side)
        state.nightsweep("submit", spec)
        before = cpu_s()
        words = ("nightsweep", "worker", "--device", "cpu", "--end-with-parent")
        with state.running(*words, "--workers", str(options.workers)) as process:
            while count_results(state) < images:
                time.sleep(1)
                if process.poll() is not None:
                    sys.exit("The workers ended before their jobs did.")
        used = cpu_s() - before
        times = [at for at, _ in state.finished()]
    return bench.rate(times, BEGIN), used / images * 1000


def cpu_s() -> float:
    """Return the CPU time of all child processes that ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure the folder and the bucket in turn, and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--images", type=int, default=10_000)
        parser.add_argument("--workers", type=int, default=2)
        parser.add_argument("--width", type=int, default=8, help="images in a batch")
        parser.add_argument("--step-s", type=float, default=0.05)
        parser.add_argument("--side", type=int, default=64, help="of an image, pixels")
        parser.add_argument("--latency-ms", type=float, default=30)

    options = bench.parse(__doc__, add)
    folder, bucket = [], []
    for _ in range(options.rounds):
        folder.append(run(options, {}))
        with serve_bucket(options.latency_ms) as env:
            bucket.append(run(options, env))
        print(f"folder {folder[-1]}, bucket {bucket[-1]}", flush=True)
    rates = [[rate for rate, _ in taken] for taken in (folder, bucket)]
    row = [f"{options.images:,}", str(options.workers), f"{options.step_s:g}"]
    row += [f"{statistics.median(taken):.1f}" for taken in rates]
    row += [f"{bench.median_ratio(rates[1], rates[0]):.3f}"]
    row += [
        f"{statistics.median(cpu for _, cpu in taken):.2f}"
        for taken in (folder, bucket)
    ]
    title = f"Images in a bucket that answers in {options.latency_ms:g} ms"
    bench.publish(options, title, report.table(HEADER, [row]), notes=NOTES)


if __name__ == "__main__":
    main()
