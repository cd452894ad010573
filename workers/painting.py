"""What a painter is: the seam between a job and whatever makes its picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL.Image import Image

from storage.job import Job
from storage.results import Environment


class StoppedError(Exception):
    """The worker was asked to stop; the job goes back as if never begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """One picture, before it is a file.

    Attributes:
        image: RGB, of the job's width and height.
        environment: Where and with what it was painted.
        evaluations: Calls of the model, counted.
        load_s: Seconds to load the model; 0 where it was resident.
        encode_s: Seconds from the start to the first call of the model.
        denoise_s: Seconds for all calls of the model and the scheduler's steps.
        decode_s: Seconds from latents to pixels.
        warm_up: Whether it is the first after a load.
        peak_bytes: Most GPU memory in use meanwhile; None on a CPU.
    """

    image: Image
    environment: Environment
    evaluations: int
    load_s: float = 0.0
    encode_s: float = 0.0
    denoise_s: float = 0.0
    decode_s: float = 0.0
    warm_up: bool = False
    peak_bytes: int | None = None


class Painter(Protocol):
    """Makes the picture of a job, and knows neither Celery nor SQL."""

    def paint(self, job: Job, *, check: Callable[[], None]) -> Painting:
        """Paint one job.

        Args:
            job: What to paint.
            check: Called before each call of the model; it raises `StoppedError`
                to end the work at once.

        Raises:
            JobError: This job cannot be painted, now or later.
            UnfitError: This worker cannot paint jobs of this kind, others may: a
                model that cannot be loaded (`ModelError`), too little memory for it,
                a device or a package that is missing.
            DeviceError: The device is of no more use to this process.
        """
