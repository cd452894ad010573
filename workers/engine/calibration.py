"""The process that measures for `nightsweep calibrate`: speeds, then widths.

It reads one line of JSON from standard input, what to measure, and writes results as
lines of JSON to standard output: the environment; a line for each image; that the
speeds are complete; a line for each width; or the error that ended it. It ends when its
standard input ends.

    python -P -m workers.engine.calibration
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import asdict, replace
from typing import Any

import torch

from storage.errors import JobError, NightsweepError, UnfitError, UsageError
from storage.host.gpus import has_nvidia
from storage.job import Job, Model
from storage.settings import read_settings
from workers.devices.placements import choose_placements, probe
from workers.engine.batches import default_width
from workers.engine.compiling import Compiled
from workers.engine.environment import describe_environment
from workers.engine.pipelines import Pipelines
from workers.engine.plain import paint_plain
from workers.engine.slot import Starter
from workers.engine.throughput import alike_jobs, measure_widths
from workers.engine.torch_painter import OWN_THREADS
from workers.painting import Painting

#: Rows of the widest batch that is tried on a GPU; on a CPU, twice the default.
GPU_MOST = 256
#: Sends one result, a JSON object.
Send = Callable[[Mapping[str, Any]], None]


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
    device = choose_device(wish["device"])
    if device != "cpu":
        torch.cuda.set_device(device)
    environment = describe_environment(device, OWN_THREADS)
    jobs = [_read_job(each) for each in wish["jobs"]]
    settings = read_settings()
    pipelines = Pipelines(device, digests=settings.home / "digests.json")
    with pipelines.lend(jobs[0]) as resident:

        def paint(job: Job) -> Painting:
            return paint_plain(
                resident, job, check=lambda: None, environment=environment
            )

        send({"environment": asdict(environment)})
        counted = measure_speeds(paint, jobs, images=wish["images"], send=send)
        send({"speeds": "complete"})
        starter = resident.starter
        if not (wish["widths"] and starter and counted):
            return
        alike = alike_jobs(jobs, counted)
        most = _prepare_widths(device, alike[0])
        with _network(starter, compiled=settings.compile_network):
            for width, rate in measure_widths(starter, alike, most=most):
                send({"width": width, "images_per_s": rate})


def choose_device(asked: str | None) -> str:
    """Return the device to measure on.

    Args:
        asked: Its name; None for the first GPU, or for the CPU if there is no GPU.

    Raises:
        UsageError: There is no such device.
        DeviceError: There is a GPU that torch cannot use.
    """
    if asked == "cpu" or (asked is None and not has_nvidia()):
        return "cpu"
    devices = [f"cuda:{index}" for index in range(len(probe()))]
    if asked not in (None, *devices):
        msg = f"--device must be one of cpu, {', '.join(devices)}, got {asked}."
        raise UsageError(msg)
    return asked or devices[0]


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


def _network(starter: Starter, *, compiled: bool) -> AbstractContextManager[None]:
    return Compiled(starter.family).in_place() if compiled else nullcontext()


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


def _read_job(row: Mapping[str, Any]) -> Job:
    return Job(**{**row, "model": Model(**row["model"])})


def _end_with_parent() -> None:
    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Read what to measure, measure it, and end with the error's exit code, if any."""
    out = sys.stdout

    def send(result: Mapping[str, Any]) -> None:
        out.write(json.dumps(result) + "\n")
        out.flush()

    wish = json.loads(sys.stdin.readline())
    _end_with_parent()
    try:
        with redirect_stdout(sys.stderr):  # keep what packages print off the results
            calibrate(wish, send)
    except NightsweepError as exc:
        send({"error": str(exc), "exit_code": exc.exit_code})
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
