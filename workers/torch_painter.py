"""Painting with torch: one job at a time, through an unmodified diffusers pipeline."""

import inspect
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storage.errors import DeviceError, JobError, NonFiniteError
from storage.job import Job
from storage.results import Environment
from workers.environment import describe_environment
from workers.painting import Painting
from workers.pipelines import Pipelines, Resident
from workers.schedulers import build

#: Torch's own default for this machine, which a plain script runs with.
OWN_THREADS = torch.get_num_threads()


class TorchPainter:
    """A painter with one resident pipeline on one device."""

    def __init__(self, device: str, *, threads: int, digests: Path) -> None:
        """Prepare the device; the first job loads its model.

        Args:
            device: `cpu`, `cuda:0` and so on.
            threads: Torch threads on a CPU. Their number changes the low bits of a
                picture, so it is recorded, and strict jobs use torch's own default.
            digests: File that remembers the digests of weights.
        """
        self._threads = threads if device == "cpu" else OWN_THREADS
        torch.set_num_threads(self._threads)
        self._pipelines = Pipelines(device, digests=digests)
        self.device = device
        self.environment: Environment = describe_environment(device, self._threads)

    def paint(self, job: Job, *, check: Callable[[], None]) -> Painting:
        """Paint one job; see `workers.painting.Painter`."""
        resident = self._pipelines.get(job)
        load_s, resident.load_s = resident.load_s, 0.0
        warm_up, resident.fresh = resident.fresh, False
        with self._exact(job), _device_errors():
            clock = _Clock(resident.pipe, self.device, check)
            pixels = _denoise(resident, job, clock)
            done = time.perf_counter()
        if not np.isfinite(pixels).all():
            raise NonFiniteError(_NON_FINITE)
        return Painting(
            image=resident.pipe.image_processor.numpy_to_pil(pixels)[0],
            evaluations=clock.evaluations,
            load_s=load_s,
            encode_s=clock.denoising - clock.started,
            denoise_s=clock.denoised - clock.denoising,
            decode_s=done - clock.denoised,
            warm_up=warm_up,
            peak_bytes=_peak_bytes(self.device),
        )

    @contextmanager
    def _exact(self, job: Job) -> Iterator[None]:
        if self.device == "cpu" and job.parameter("strict"):
            torch.set_num_threads(OWN_THREADS)
            try:
                yield
            finally:
                torch.set_num_threads(self._threads)
        else:
            yield


_NON_FINITE = (
    "pixels must be finite numbers, but this combination of model, dtype, scheduler "
    "and options gives NaN or infinity; change one of them (bfloat16 or float32 often "
    "helps where float16 overflows)"
)


def _denoise(resident: Resident, job: Job, clock: "_Clock") -> Any:
    pipe = resident.pipe
    pipe.scheduler = build(
        job.scheduler_class,
        job.scheduler_options,
        config=resident.scheduler_config,
        seed=job.seed,
    )
    device = "cpu" if job.generator == "cpu" else pipe.device
    with clock:
        return pipe(
            job.prompt,
            negative_prompt=job.negative_prompt,
            num_inference_steps=job.steps,
            guidance_scale=job.guidance,
            width=job.width,
            height=job.height,
            generator=torch.Generator(device).manual_seed(job.seed),
            output_type="np",
            callback_on_step_end=clock.step_end,
            **_optional(pipe, job),
        ).images


def _optional(pipe: Any, job: Job) -> dict[str, Any]:
    """Give the arguments that only some pipelines take, where the job sets them."""
    wanted = {"eta": job.parameter("eta"), "clip_skip": job.parameter("clip_skip")}
    wanted = {name: value for name, value in wanted.items() if value}
    taken = inspect.signature(pipe.__call__).parameters
    for name in wanted.keys() - taken.keys():
        msg = (
            f"{name} must be neutral for {type(pipe).__name__}, which has no such input"
        )
        raise JobError(msg)
    return wanted


class _Clock:
    """Marks when denoising begins and ends, and counts the calls of the model."""

    def __init__(self, pipe: Any, device: str, check: Callable[[], None]) -> None:
        self.evaluations = 0
        self.denoising = self.denoised = math.nan
        self._network = getattr(pipe, "unet", None) or pipe.transformer
        self._on_gpu = device.startswith("cuda")
        self._check = check
        self.started = time.perf_counter()

    def __enter__(self) -> "_Clock":
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._hook = self._network.register_forward_pre_hook(self._count)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._hook.remove()

    def step_end(
        self, pipe: Any, step: int, _timestep: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Take note of the end of a step, as diffusers' callback."""
        self._check()
        if step + 1 == len(pipe.scheduler.timesteps):
            self.denoised = self._now()
            if not torch.isfinite(tensors["latents"]).all():
                raise NonFiniteError(_NON_FINITE)
        return tensors

    def _count(self, *_args: object) -> None:
        if not self.evaluations:
            self.denoising = self._now()
        self.evaluations += 1

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()


@contextmanager
def _device_errors() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as exc:
        torch.cuda.empty_cache()
        msg = f"the job must fit into the GPU's memory, but does not: {exc}"
        raise JobError(msg) from exc
    except torch.AcceleratorError as exc:
        # After such an error every later call of this process fails too.
        msg = f"the GPU must answer, but says: {exc}"
        raise DeviceError(msg) from exc


def _peak_bytes(device: str) -> int | None:
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else None


def make_painter(device: str, *, threads: int, digests: Path) -> TorchPainter:
    """Make the painter that `workers.process` uses unless told otherwise."""
    # Tokenizers would warn, or stop, when a process that used them forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return TorchPainter(device, threads=threads, digests=digests)
