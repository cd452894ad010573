"""The process that measures for `nightsweep calibrate`: speeds, then widths.

A program of `workers.engine.programs`. Its answers are the environment; a line for each
image; that the speeds are complete; and a line for each width.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import torch

from storage.errors import JobError, UnfitError
from storage.job import Job
from storage.settings import read_settings
from workers.devices.compiler_cache import keep_compilations
from workers.devices.placements import choose_placements
from workers.engine.alone import paint_alone
from workers.engine.batches import default_width
from workers.engine.compiling import Compiled
from workers.engine.environment import describe_environment
from workers.engine.pipelines import Pipelines
from workers.engine.programs import Send, choose_device, read_job
from workers.engine.throughput import alike_jobs, measure_widths
from workers.engine.torch_painter import OWN_THREADS
from workers.painting import Painting

#: Rows of the widest batch that is tried on a GPU; on a CPU, twice the default.
GPU_MOST = 256


def calibrate(wish: Mapping[str, Any], send: Send) -> None:
    """Measure speeds, and widths if asked to.

    Args:
        wish: `jobs`: strict jobs, equal but for scheduler and steps; `images`: how
            many to make of each; `device`: `cpu`, `cuda:0` and so on, None for the
            first GPU, or for the CPU if there is no GPU; `widths`: whether to measure
            batches too.
        send: Sends one result.

    Raises:
        NightsweepError: The model or the device cannot be used.
    """
    keep_compilations(read_settings().home)
    device = choose_device(wish["device"])
    if device != "cpu":
        torch.cuda.set_device(device)
    environment = describe_environment(device, OWN_THREADS)
    jobs = [read_job(each) for each in wish["jobs"]]
    settings = read_settings()
    pipelines = Pipelines(device, digests=settings.home / "digests.json")
    with pipelines.lend(jobs[0]) as resident:

        def paint(job: Job) -> Painting:
            return paint_alone(resident, job, environment)

        send({"environment": asdict(environment)})
        counted = measure_speeds(paint, jobs, images=wish["images"], send=send)
        send({"speeds": "complete"})
        if not (wish["widths"] and counted):
            return
        alike = alike_jobs(jobs, counted)
        most = _prepare_widths(device, alike[0])
        starter = resident.starter
        compiled = Compiled(starter) if settings.compile_networks else None
        with compiled.in_place() if compiled else nullcontext():
            for width, rate in measure_widths(
                starter, alike, most=most, compiled=compiled
            ):
                send({"width": width, "images_per_s": rate})


def measure_speeds(
    paint: Callable[[Job], Painting], jobs: Sequence[Job], *, images: int, send: Send
) -> dict[int, int]:
    """Make the jobs one at a time, and send the seconds of each image.

    Every round makes each job once, so that a device that slows down when warm does so
    for all jobs alike. A job that fails is sent once, with the reason, and left out of
    later rounds.

    Args:
        paint: Makes one image by a plain call of the pipeline.
        jobs: The jobs to make.
        images: Number of rounds, each with another seed.
        send: Sends one result.

    Returns:
        Calls of the network for each of `jobs` that did not fail, by its index.
    """
    counted: dict[int, int] = {}
    left = dict(enumerate(jobs))
    for job in _first_of_each_scheduler(jobs):
        # A warm-up, in which kernels are chosen and memory is allocated.
        _try(paint, job)
    for seed in range(images):
        for index, job in list(left.items()):
            made = _try(paint, replace(job, seed=seed))
            if isinstance(made, Painting):
                counted[index] = made.evaluations
                # The whole call of the pipeline, up to pixels on the CPU.
                seconds = made.encode_s + made.denoise_s + made.decode_s
                send(
                    {"job": index, "seconds": seconds, "evaluations": made.evaluations}
                )
            else:
                del left[index]
                counted.pop(index, None)
                send({"job": index, "error": made})
    return counted


def _prepare_widths(device: str, job: Job) -> int:
    """Set torch's threads to those of a worker; return the widest batch to try."""
    if device != "cpu":
        return GPU_MOST
    torch.set_num_threads(choose_placements(device="cpu")[0].threads)
    return 2 * default_width(job, on_gpu=False)


def _try(paint: Callable[[Job], Painting], job: Job) -> Painting | str:
    """Return the painting of a job, or the reason why it fails."""
    try:
        return paint(job)
    except (JobError, UnfitError) as exc:
        return str(exc)


def _first_of_each_scheduler(jobs: Sequence[Job]) -> list[Job]:
    """Return the job with the fewest steps of each scheduler."""
    first: dict[str, Job] = {}
    for job in sorted(jobs, key=lambda job: job.steps):
        first.setdefault(f"{job.scheduler_class} {job.scheduler_options}", job)
    return list(first.values())
