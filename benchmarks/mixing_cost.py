"""The cost of a different scheduler in each row of a batch.

    python benchmarks/mixing_cost.py [--widths 8 16] [--append]
    python benchmarks/mixing_cost.py --device cuda --model sd15 [--compile]

The time of one step of a batch of mixed schedulers is compared with the mean over
batches of one of these schedulers: in the hub too, and in an ordinary batch of
diffusers. All run the same network on equally many rows, and decode each image
alone.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import bare
import bench
import report
import torch
import workload

from storage.job import Job
from workers.engine.compiling import Compiled
from workers.engine.fixed_jobs import paint_all
from workers.engine.pipelines import Pipelines
from workers.engine.schedulers import build
from workers.engine.starter import Starter
from workers.engine.texts import TextCache

#: Schedulers with one call of the network a step, so that no row is ever empty.
SCHEDULERS = (
    *("ddim", "euler_a", "dpmpp_2m_karras", "unipc"),
    *("ddpm", "euler", "lms", "dpmpp_2m_sde"),
)
HEADER = (
    *("width", "mixed, ms a step", "one scheduler", "ordinary batch"),
    *("one / mixed", "ordinary / mixed"),
)
NOTES = """\
Milliseconds are medians over the rounds. `one / mixed` is the speed of a mixed batch
relative to batches of one scheduler; `ordinary / mixed` is that
relative to the pipeline's own batches, in which one scheduler steps all rows at
once."""


class Batches:
    """Runs and times batches of a loaded pipeline."""

    def __init__(
        self, starter: Starter, config: dict[str, Any], compiled: Compiled | None
    ) -> None:
        self._starter = starter
        self._config = config
        self._compiled = compiled
        pipe = starter.pipe
        # The hub, too, knows its texts.
        pipe.encode_prompt = TextCache(pipe.encode_prompt, device=pipe.device).encode

    def time_shared(self, jobs: Sequence[Job]) -> float:
        """Return the seconds of a step of these jobs in the hub."""

        def run() -> None:
            paint_all(self._starter, jobs, compiled=self._compiled)

        return self._time(run) / jobs[0].steps

    def time_ordinary(self, jobs: Sequence[Job]) -> float:
        """Return the seconds of a step of the pipeline's own batch of these jobs."""
        pipe, job = self._starter.pipe, jobs[0]

        def run() -> None:
            own, pipe.scheduler = pipe.scheduler, self._scheduler(job)
            pipe(
                prompt=[job.prompt for job in jobs],
                generator=[torch.Generator().manual_seed(job.seed) for job in jobs],
                num_inference_steps=job.steps,
                guidance_scale=job.guidance,
                height=job.height,
                width=job.width,
                output_type="pt",
            )
            pipe.scheduler = own

        pipe.vae.enable_slicing()  # the hub, too, decodes each image alone
        return self._time(run) / job.steps

    def _scheduler(self, job: Job) -> Any:
        return build(
            job.scheduler_class,
            job.scheduler_options,
            config=self._config,
            seed=job.seed,
        )

    def _time(self, act: Callable[[], None]) -> float:
        on_gpu = self._starter.clock.on_gpu
        began = time.perf_counter()
        act()
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began


def measure(
    batches: Batches, jobs: dict[str, list[Job]], *, width: int, rounds: int
) -> list[str]:
    """Time all kinds of batches in turn; return the table's row for a width."""
    mixed_jobs = [
        jobs[name][seed]
        for seed, name in zip(range(width), itertools.cycle(SCHEDULERS), strict=False)
    ]
    mixed: list[float] = []
    same: list[float] = []
    ordinary: list[float] = []
    for number in range(rounds + 1):
        taken = [
            (
                batches.time_shared(mixed_jobs),
                batches.time_shared(jobs[name][:width]),
                batches.time_ordinary(jobs[name][:width]),
            )
            for name in SCHEDULERS
        ]
        if number:  # the first round is a warm-up
            means = [statistics.mean(column) for column in zip(*taken, strict=True)]
            for kept, mean in zip((mixed, same, ordinary), means, strict=True):
                kept.append(mean)
    milliseconds = [1000 * statistics.median(kept) for kept in (mixed, same, ordinary)]
    ratios = [bench.median_ratio(same, mixed), bench.median_ratio(ordinary, mixed)]
    return [
        str(width),
        *(f"{value:.1f}" for value in milliseconds),
        *(f"{ratio:.3f}" for ratio in ratios),
    ]


def make_jobs(options: argparse.Namespace) -> dict[str, list[Job]]:
    """Return the jobs of each scheduler, one for each seed."""
    model = workload.find_model(options.model)
    name = model.find(options.models, options.device)
    most = max(options.widths)
    cells = [
        {"seed": seed, "scheduler": scheduler, "steps": options.steps}
        for scheduler in SCHEDULERS
        for seed in range(most)
    ]
    with bench.own_state() as state:
        spec = workload.write_spec(
            state.settings.home,
            name,
            cells,
            prompts=workload.PROMPTS[:1],
            dtype=options.dtype,
        )
        planned = workload.read_spec(spec)
    jobs: dict[str, list[Job]] = {}
    for one in planned:
        jobs.setdefault(one.scheduler_name, []).append(one.job)
    return jobs


def main() -> None:
    """Measure each width and print the table."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--widths", type=int, nargs="+", default=[8, 16])
        parser.add_argument("--steps", type=int, default=20)
        parser.add_argument("--threads", type=int, default=1)

    options = bench.parse(__doc__, add)
    torch.set_num_threads(options.threads)
    jobs = make_jobs(options)
    pipelines = Pipelines(options.device, digests=bare.DIGESTS)
    with ExitStack() as stack:
        resident = stack.enter_context(pipelines.lend(jobs[SCHEDULERS[0]][0]))
        starter = resident.starter
        compiled = Compiled(starter) if options.compile else None
        if compiled:
            stack.enter_context(compiled.in_place())
        batches = Batches(starter, dict(starter.pipe.scheduler.config), compiled)
        rows = [
            measure(batches, jobs, width=width, rounds=options.rounds)
            for width in options.widths
        ]
    title = f"What mixing costs: {options.model}, {options.device}"
    bench.publish(options, title, report.table(HEADER, rows), notes=NOTES)


if __name__ == "__main__":
    main()
