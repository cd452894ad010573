"""A whole sweep with nightsweep, against the loop that a careful user would write.

    python benchmarks/sweep_vs_loop.py [--jobs 96 800] [--append]
    python benchmarks/sweep_vs_loop.py --device cuda --model sd15 [--compile]

Both sides are commands that make the same images: 8 schedulers, 4 prompts, step counts
and seeds. They run in turn. `plain_loop.py` is the loop.
"""

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import bench
import report
import workload

from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS

HEADER = (
    *("sweep", "loop, images/s", "nightsweep run, images/s", "ratio"),
    *("loop, steady", "nightsweep, steady", "steady ratio"),
)
NOTES = """\
Images/s of the whole command, including start, imports, loading and the last image.
Steady: from the first fifth of the images to the last one. It means little for a sweep
of few batches: when the first fifth is done, the jobs in hand are half painted. Figures
are medians, and ratios are medians of the ratios within one round. The loop has torch's
default threads; nightsweep has its default workers, or one GPU."""


def time_loop(jobs: Sequence[Job], plan: Path, folder: Path) -> tuple[float, float]:
    """Run the loop; return images/s of the command, and when steady."""
    script = Path(__file__).with_name("plain_loop.py")
    folder.mkdir()
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, script, plan, folder], check=True, capture_output=True
    )
    seconds = time.perf_counter() - began
    with closing(sqlite3.connect(folder / "results.db")) as connection:
        rows = connection.execute("SELECT finished_at FROM results").fetchall()
    return len(jobs) / seconds, bench.rate(sorted(row[0] for row in rows))


def time_nightsweep(
    jobs: Sequence[Job], spec: Path, options: argparse.Namespace
) -> tuple[float, float]:
    """Run `nightsweep run`; return images/s of the command, and when steady."""
    where = ["--device", "cpu"] if options.device == "cpu" else ["--gpus", "0"]
    with bench.own_state(NIGHTSWEEP_COMPILE=str(int(options.compile))) as state:
        began = time.perf_counter()
        state.nightsweep("run", spec, *where)
        seconds = time.perf_counter() - began
        times = [at for at, _ in state.finished()]
    if len(times) != len(jobs):
        sys.exit(f"nightsweep made {len(times)} of {len(jobs)} images.")
    return len(jobs) / seconds, bench.rate(times)


def write_plan(jobs: Sequence[Job], file: Path, options: argparse.Namespace) -> Path:
    """Write the file that the loop reads; return its path."""
    name = jobs[0].model.name
    plan = {
        "model": str(BUILTIN_FOLDERS.get(name, name)),
        "device": options.device,
        "dtype": options.dtype,
        "compile": options.compile,
        "jobs": [
            {
                "key": job.key,
                "prompt": job.prompt,
                "seed": job.seed,
                "scheduler": job.scheduler_class,
                "options": job.scheduler_options,
                "steps": job.steps,
                "guidance": job.guidance,
            }
            for job in jobs
        ],
    }
    file.write_text(json.dumps(plan))
    return file


def measure(options: argparse.Namespace, count: int, folder: Path) -> list[str]:
    """Run both sides in turn; return a row of the table."""
    model = workload.find_model(options.model)
    name = model.find(options.models, options.device)
    cells = workload.cells_of(count // len(workload.PROMPTS), model.steps)
    spec = workload.write_spec(folder, name, cells, dtype=options.dtype)
    jobs = [one.job for one in workload.read_spec(spec)]
    plan = write_plan(jobs, folder / "plan.json", options)
    loops, ours = [], []
    for number in range(options.rounds):
        loops.append(time_loop(jobs, plan, folder / f"loop-{count}-{number}"))
        ours.append(time_nightsweep(jobs, spec, options))
        print(f"{len(jobs)} jobs: loop {loops[-1]}, nightsweep {ours[-1]}", flush=True)
    row = [f"{len(jobs)} images"]
    for side in range(2):
        loop, our = ([rates[side] for rates in runs] for runs in (loops, ours))
        row += [
            f"{statistics.median(loop):.2f}",
            f"{statistics.median(our):.2f}",
            f"{bench.median_ratio(our, loop):.2f}",
        ]
    return row


def main() -> None:
    """Measure each size of sweep and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--jobs", type=int, nargs="+", help="multiples of 4")

    options = bench.parse(__doc__, add)
    counts = options.jobs or workload.find_model(options.model).jobs
    with bench.own_folder() as folder:
        rows = [measure(options, count, folder) for count in counts]
    kind = "compiled" if options.compile else "eager"
    title = f"A sweep against a loop: {options.model}, {options.device}, {kind}"
    bench.publish(options, title, report.table(HEADER, rows), notes=NOTES)


if __name__ == "__main__":
    main()
