"""The speed that a worker loses to queue, SQL and files, against its painter alone.

    python benchmarks/engine_overhead.py [--jobs 400] [--append]
    python benchmarks/engine_overhead.py --device cuda --model sd15 [--compile]

One worker process, and the painter alone in its own process, make the same images in
turn, with the same width and threads. On one core, all other work of the worker takes
time from painting.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bare
import bench
import report
import workload

from producer.commands.submit import submit
from workers.supervision.child import WORKER_ENVIRONMENT

#: The shares of the images between which the rate is taken: no start and no tail.
STEADY = (0.2, 0.8)
HEADER = ("cores", "images", "painter alone, images/s", "worker, images/s", "ratio")
NOTES = """\
Images/s without the first and the last fifth of the images; medians, and the median of
the ratios within one round. Both sides decode."""


def time_bare(spec: Path, options: argparse.Namespace) -> float:
    """Run the painter alone; return its steady images/s."""
    command = [
        *(sys.executable, bare.__file__, str(spec)),
        *("--device", options.device, "--threads", str(options.threads)),
        *(["--compile"] if options.compile else ()),
    ]
    env = {**WORKER_ENVIRONMENT, **os.environ}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return bench.rate(json.loads(done.stdout), *STEADY)


def time_worker(spec: Path, options: argparse.Namespace) -> float:
    """Run one worker process; return its steady images/s."""
    compiled = str(int(options.compile))
    with bench.own_state(**WORKER_ENVIRONMENT, NIGHTSWEEP_COMPILE=compiled) as state:
        submit(str(spec), settings=state.settings)
        command = [
            *("workers.process.main", "--name", "bench", "--device", options.device),
            *("--threads", str(options.threads)),
        ]
        with state.running(*command) as process:
            while len(state.finished()) < options.jobs:
                time.sleep(1)
                if process.poll() is not None:
                    sys.exit("The worker ended before its jobs did.")
        return bench.rate([at for at, _ in state.finished()], *STEADY)


def measure(options: argparse.Namespace, spec: Path, cores: Sequence[int]) -> list[str]:
    """Run both sides in turn on these cores; return a row of the table."""
    os.sched_setaffinity(0, cores)
    alone, worker = [], []
    for _ in range(options.rounds):
        alone.append(time_bare(spec, options))
        worker.append(time_worker(spec, options))
        print(f"{len(cores)} cores: {alone[-1]:.2f}, {worker[-1]:.2f}", flush=True)
    return [
        str(len(cores)),
        str(options.jobs),
        f"{statistics.median(alone):.2f}",
        f"{statistics.median(worker):.2f}",
        f"{bench.median_ratio(worker, alone):.3f}",
    ]


def main() -> None:
    """Measure and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--jobs", type=int, default=400, help="a multiple of 4")
        parser.add_argument("--threads", type=int, default=1)

    options = bench.parse(__doc__, add)
    model = workload.find_model(options.model)
    name = model.find(options.models, options.device)
    cells = workload.cells_of(options.jobs // len(workload.PROMPTS), model.steps)
    cores = sorted(os.sched_getaffinity(0))
    choices = [cores] if options.device != "cpu" else [cores, cores[:1]]
    with bench.own_folder() as folder:
        spec = workload.write_spec(folder, name, cells, dtype=options.dtype)
        rows = [measure(options, spec, chosen) for chosen in choices]
    title = f"A worker against its painter alone: {options.model}, {options.device}"
    bench.publish(options, title, report.table(HEADER, rows), notes=NOTES)


if __name__ == "__main__":
    main()
