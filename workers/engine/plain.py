"""Painting one job at a time, by a plain call of the pipeline.

Strict jobs are painted this way, and jobs of pipelines that the slots cannot drive.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError, NonFiniteError
from storage.job import Job
from workers.engine.decoding import NON_FINITE
from workers.engine.pipelines import Resident, name_of
from workers.engine.schedulers import build
from workers.painting import Painting
from workers.vitals import phases


def paint_plain(
    resident: Resident, job: Job, *, check: Callable[[], None], **facts: Any
) -> Painting:
    """Paint one job.

    Args:
        resident: The pipeline of the job's model.
        job: The job to paint.
        check: Called before each call of the network; its errors end the call.
        facts: Further fields of the painting.

    Raises:
        JobError: The job cannot be painted.
        UnfitError: A package that its scheduler needs is missing here.
    """
    pipe = resident.pipe
    clock = _Stopwatch(pipe, check)
    pixels = _call(resident, job, clock)
    if not np.isfinite(pixels).all():
        raise NonFiniteError(NON_FINITE)
    return Painting(
        image=pipe.numpy_to_pil(pixels)[0],
        evaluations=clock.evaluations,
        encode_s=clock.denoising - clock.started,
        denoise_s=clock.denoised - clock.denoising,
        decode_s=clock.ended - clock.denoised,
        decode_dtype=_decode_dtype(resident),
        **facts,
    )


def _call(resident: Resident, job: Job, clock: "_Stopwatch") -> Any:
    """Return the pixels: (1, height, width, 3), float32, 0 to 1, on the CPU."""
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
            prompt=job.prompt,  # by name: some pipelines take an image first
            num_inference_steps=job.steps,
            width=job.width,
            height=job.height,
            generator=torch.Generator(device).manual_seed(job.seed),
            output_type="np",
            **given,
        ).images


def _optional(pipe: Any, job: Job, taken: frozenset[str]) -> dict[str, Any]:
    """Return the arguments that only some pipelines take, if the job sets them.

    An empty negative prompt is left out, as in a plain script: SDXL encodes an empty
    one, but uses zeros if there is none. The guidance is passed even if it is neutral.

    Raises:
        JobError: The job sets an argument that the pipeline does not take.
    """
    wanted = {
        "negative_prompt": job.negative_prompt,
        "eta": job.parameter("eta"),
        "clip_skip": job.parameter("clip_skip"),
        "guidance_scale": job.guidance > NO_GUIDANCE,
    }
    wanted = {name: value for name, value in wanted.items() if value}
    for name in wanted.keys() - taken:
        msg = (
            f"{name} must be neutral for {type(pipe).__name__}, which has no such input"
        )
        raise JobError(msg)
    if "guidance_scale" in taken:
        wanted["guidance_scale"] = job.guidance
    return wanted


def _decode_dtype(resident: Resident) -> str:
    if resident.starter:
        return name_of(resident.starter.family.decode_dtype)
    vae = getattr(resident.pipe, "vae", None)
    return name_of(vae.dtype) if vae is not None else ""


class _Stopwatch:
    """Times the phases of a call, and counts the calls of the network.

    Attributes:
        evaluations: Calls of the network.
        started: When the pipeline was called, in seconds, as all times here.
        denoising: When the network was first called; `started` if that is not seen.
        denoised: When the last step ended; `ended` if the pipeline has no callback.
        ended: When the pipeline returned.
    """

    def __init__(self, pipe: Any, check: Callable[[], None]) -> None:
        self.evaluations = 0
        self._network = getattr(pipe, "unet", None) or getattr(
            pipe, "transformer", None
        )
        self._on_gpu = pipe.device.type == "cuda"
        self._check = check
        self._last_step: float | None = None

    def __enter__(self) -> "_Stopwatch":
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
        """Note the end of a step; called by diffusers after each step.

        Raises:
            NonFiniteError: The latents after the last step are not finite.
        """
        phases.get_to((step + 1) / len(pipe.scheduler.timesteps))
        if step + 1 == len(pipe.scheduler.timesteps):
            self._last_step = self._now()
            if not torch.isfinite(tensors["latents"]).all():
                raise NonFiniteError(NON_FINITE)
        return tensors

    def _count(self, *_args: object) -> None:
        # Not in `step_end`, which some pipelines never call.
        self._check()
        if not self.evaluations:
            self.denoising = self._now()
        self.evaluations += 1

    def _now(self) -> float:
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()
