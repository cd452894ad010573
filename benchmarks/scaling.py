"""Scaling with N workers: real processes, Redis and SQL, and a denoiser that sleeps.

    python benchmarks/scaling.py [--workers 1 2 4 8 16] [--append]

Each worker has a stand-in for a GPU: it paints four images at once, and sleeps for a
quarter of a second in each step. So the benchmark measures the rest: messages, claims,
files and rows of all workers together.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bench
import report
import workload

from producer.commands.submit import submit

WIDTH = 4
STEP_S = 0.25
#: Their mean is 8: a worker makes two images a second, spread over time.
STEPS = (6, 7, 8, 9, 10)
#: The share of the images up to which all workers are busy.
BUSY = 0.85
HEADER = (
    *("workers", "images", "images/s", "over N singles"),
    *("with the tail", "over N singles"),
)
NOTES = """\
Images/s from the moment when each worker has made an image until 85 % of the images are
made and, `with the tail`, until all are. `over N singles` is that rate over N times the
rate of one worker in the same round. Medians."""
ROOT = Path(__file__).parents[1]


def run(workers: int, jobs: int) -> tuple[float, float]:
    """Make a sweep; return images/s when steady, and with the tail."""
    stand_in = {
        "NIGHTSWEEP_PAINTER": "tests.stand_in:make_painter",
        "NIGHTSWEEP_STAND_IN_WIDTH": str(WIDTH),
        "NIGHTSWEEP_STAND_IN_STEP_S": str(STEP_S),
        "PYTHONPATH": str(ROOT),
    }
    with bench.own_state(**stand_in) as state:
        cells = [{"seed": n, "steps": STEPS[n % len(STEPS)]} for n in range(jobs)]
        spec = workload.write_spec(
            state.settings.home,
            "builtin:shapes",
            cells,
            prompts=workload.PROMPTS[:1],
        )
        submit(str(spec), settings=state.settings)
        command = ("nightsweep", "worker", "--device", "cpu", "--workers", str(workers))
        with state.running(*command, "--end-with-parent") as process:
            while len(state.finished()) < jobs:
                time.sleep(1)
                if process.poll() is not None:
                    sys.exit("The workers ended before their jobs did.")
        finished = state.finished()
    times = [at for at, _ in finished]
    seen: dict[str, int] = {}
    for place, (_, worker) in enumerate(finished):
        seen.setdefault(worker, place)
    begin = max(seen.values()) / jobs
    if len(seen) < workers or begin > BUSY / 2:
        sys.exit("Not all workers were there in time; give each more jobs.")
    return bench.rate(times, begin, BUSY), bench.rate(times, begin)


def describe(
    workers: int, jobs: int, runs: Sequence[tuple[float, ...]], singles: Sequence[float]
) -> list[str]:
    """Return a row of the table from the rates of all rounds."""
    row = [str(workers), f"{jobs:,}"]
    expected = [workers * single for single in singles]
    for rates in zip(*runs, strict=True):
        row += [
            f"{statistics.median(rates):.2f}",
            f"{bench.median_ratio(rates, expected):.3f}",
        ]
    return row


def main() -> None:
    """Measure each number of workers and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
        parser.add_argument("--jobs", type=int, default=60, help="for each worker")

    options = bench.parse(__doc__, add)
    runs: dict[int, list[tuple[float, float]]] = {n: [] for n in options.workers}
    for _ in range(options.rounds):
        for workers, taken in runs.items():
            taken.append(run(workers, workers * options.jobs))
            print(f"{workers} workers: {taken[-1]}", flush=True)
    singles = [steady for steady, _ in runs[min(runs)]]
    singles = [steady / min(runs) for steady in singles]
    rows = [
        describe(workers, workers * options.jobs, taken, singles)
        for workers, taken in runs.items()
    ]
    title = "Scaling with the number of workers"
    bench.publish(options, title, report.table(HEADER, rows), notes=NOTES)


if __name__ == "__main__":
    main()
