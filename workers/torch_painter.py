"""Painting with torch: one job at a time, through an unmodified diffusers pipeline."""

import inspect
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storage.errors import JobError, NonFiniteError, UnfitError
from storage.job import Job
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
        self.device = device
        self._pipelines = Pipelines(device, digests=digests)
        plain = threads if device == "cpu" else OWN_THREADS
        self._threads = {False: plain, True: OWN_THREADS}
        self._environments = {
            strict: describe_environment(device, count)
            for strict, count in self._threads.items()
        }

    def paint(self, job: Job, *, check: Callable[[], None]) -> Painting:
        """Paint one job; see `workers.painting.Painter`."""
        self._require_generator(job)
        strict = bool(job.parameter("strict"))
        torch.set_num_threads(self._threads[strict])
        with self._pipelines.lend(job) as resident:
            clock = _Clock(resident.pipe, self.device, check)
            pixels = _denoise(resident, job, clock)
            if not np.isfinite(pixels).all():
                raise NonFiniteError(_NON_FINITE)
            image = resident.pipe.numpy_to_pil(pixels)[0]
        # Only here, so that a job that is stopped leaves them to the next one.
        load_s, resident.load_s = resident.load_s, 0.0
        warm_up, resident.fresh = resident.fresh, False
        return Painting(
            image=image,
            environment=self._environments[strict],
            evaluations=clock.evaluations,
            load_s=load_s,
            encode_s=clock.denoising - clock.started,
            denoise_s=clock.denoised - clock.denoising,
            decode_s=clock.ended - clock.denoised,
            warm_up=warm_up,
            peak_bytes=_peak_bytes(self.device),
        )

    def _require_generator(self, job: Job) -> None:
        if job.generator == "cuda" and not self.device.startswith("cuda"):
            msg = (
                "this worker has no CUDA device for `generator: cuda`; start a worker "
                "on a GPU, or use `generator: cpu`, which is the same everywhere"
            )
            raise UnfitError(msg)


_NON_FINITE = (
    "pixels must be finite numbers, but this combination of model, dtype, scheduler "
    "and options gives NaN or infinity; change one of them (bfloat16 or float32 often "
    "helps where float16 overflows)"
)


def _denoise(resident: Resident, job: Job, clock: "_Clock") -> Any:
    """Give the pixels: (1, height, width, 3), float32, 0 to 1, on the CPU."""
    pipe = resident.pipe
    pipe.scheduler = build(
        job.scheduler_class,
        job.scheduler_options,
        config=resident.scheduler_config,
        seed=job.seed,
    )
    taken = frozenset(inspect.signature(pipe.__call__).parameters)
    given = _optional(pipe, job, taken)
    if "callback_on_step_end" in taken:
        given["callback_on_step_end"] = clock.step_end
    device = "cpu" if job.generator == "cpu" else pipe.device
    with clock:
        return pipe(
            job.prompt,
            num_inference_steps=job.steps,
            guidance_scale=job.guidance,
            width=job.width,
            height=job.height,
            generator=torch.Generator(device).manual_seed(job.seed),
            output_type="np",
            **given,
        ).images


def _optional(pipe: Any, job: Job, taken: frozenset[str]) -> dict[str, Any]:
    """Give the arguments that only some pipelines take, where the job sets them.

    An empty negative prompt is left out, as in a plain script: SDXL takes zeros for
    none at all, but encodes an empty one.
    """
    wanted = {
        "negative_prompt": job.negative_prompt,
        "eta": job.parameter("eta"),
        "clip_skip": job.parameter("clip_skip"),
    }
    wanted = {name: value for name, value in wanted.items() if value}
    for name in wanted.keys() - taken:
        msg = (
            f"{name} must be neutral for {type(pipe).__name__}, which has no such input"
        )
        raise JobError(msg)
    return wanted


class _Clock:
    """Marks when denoising begins and ends, and counts the calls of the model.

    Attributes:
        evaluations: Calls of the model.
        started: When the pipeline was called; seconds, like the other times.
        denoising: When the model was first called; `started` if that is not seen.
        denoised: When the last step ended; `ended` if the pipeline does not say.
        ended: When the pipeline returned.
    """

    def __init__(self, pipe: Any, device: str, check: Callable[[], None]) -> None:
        self.evaluations = 0
        self._network = getattr(pipe, "unet", None) or getattr(
            pipe, "transformer", None
        )
        self._on_gpu = device.startswith("cuda")
        self._check = check
        self._last_step: float | None = None

    def __enter__(self) -> "_Clock":
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        if self._network is not None:
            self._hook = self._network.register_forward_pre_hook(self._count)
        self.started = self.denoising = time.perf_counter()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.ended = time.perf_counter()
        self.denoised = self._last_step or self.ended
        if self._network is not None:
            self._hook.remove()

    def step_end(
        self, pipe: Any, step: int, _timestep: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Take note of the end of a step, as diffusers' callback."""
        if step + 1 == len(pipe.scheduler.timesteps):
            self._last_step = self._now()
            if not torch.isfinite(tensors["latents"]).all():
                raise NonFiniteError(_NON_FINITE)
        return tensors

    def _count(self, *_args: object) -> None:
        # Here rather than in `step_end`, which not every pipeline calls.
        self._check()
        if not self.evaluations:
            self.denoising = self._now()
        self.evaluations += 1

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()


def _peak_bytes(device: str) -> int | None:
    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else None


def make_painter(device: str, *, threads: int, digests: Path) -> TorchPainter:
    """Make the painter that `workers.process` uses unless told otherwise."""
    # Tokenizers would warn, or stop, when a process that used them forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return TorchPainter(device, threads=threads, digests=digests)
