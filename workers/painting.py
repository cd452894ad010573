"""What a painter is: the seam between the jobs of a turn and whatever paints them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL.Image import Image

from storage.errors import JobError
from storage.host.environment import Environment
from storage.job import Job, Model

#: Why a picture that holds NaN or infinity failed.
NON_FINITE = (
    "pixels must be finite numbers, but this combination of model, dtype, scheduler "
    "and options gives NaN or infinity; change one of them (bfloat16 or float32 often "
    "helps where float16 overflows)"
)


class StoppedError(Exception):
    """The worker was asked to stop; its jobs go back as if never begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """One picture, before it is a file.

    Attributes:
        image: RGB, of the job's width and height.
        environment: Where and with what it was painted.
        engine: `slots` for the mixed batch, `plain` for a call of the pipeline alone.
        batch_width: Rows of the batch that it was painted in.
        slot: Its row, from 0.
        evaluations: Calls of the network, counted.
        load_s: Seconds to load the model, and on JAX to compile for the job; 0 where
            both had been done.
        encode_s: Seconds to encode its texts; 0 where they were known.
        denoise_s: Its share of the network's time, plus its own scheduler's time.
        decode_s: Seconds from latents to pixels.
        decode_dtype: Precision of that decoding, `float32` and so on.
        warm_up: Whether it was among the first after a load or a compilation.
        peak_bytes: Most GPU memory in use meanwhile; None on a CPU.
        place: The model at the place it was loaded from; None if unknown.
    """

    image: Image
    environment: Environment
    engine: str = "plain"
    batch_width: int = 1
    slot: int = 0
    evaluations: int
    load_s: float = 0.0
    encode_s: float = 0.0
    denoise_s: float = 0.0
    decode_s: float = 0.0
    decode_dtype: str = ""
    warm_up: bool = False
    peak_bytes: int | None = None
    place: Model | None = None


class Work(Protocol):
    """The jobs of one group as they come, and where their pictures go.

    All methods are called from the painting thread.
    """

    def expect(self, width: int) -> None:
        """Say how many jobs are painted at once, so that as many are kept ready."""

    def gather(self, count: int) -> list[Job]:
        """Return the next jobs, up to `count`, and wait for them.

        Fewer come only if no more are available at present, and none if the work has
        ended. A job that may have killed a worker comes alone.
        """

    def take(self) -> Job | None:
        """Return the next job if one is ready; never wait."""

    def keep(self, job: Job, fetch: Callable[[], Painting]) -> None:
        """Take over a finished job.

        Args:
            job: One that `gather` or `take` returned.
            fetch: Called once, in another thread; it waits for the pixels, and
                returns the picture or raises `JobError`.
        """

    def fail(self, job: Job, error: JobError) -> None:
        """Take over a job that cannot be painted, now or later."""

    def put_back(self, jobs: list[Job]) -> None:
        """Take back jobs that were begun in vain; they are given again first."""

    def withdraw(self) -> list[Job]:
        """Return jobs in hand that nobody wants any more; called after each step.

        The painter stops painting them, and they go back as if never begun. Usually
        there are none, which costs nothing.
        """

    def check(self) -> None:
        """Raise `StoppedError` if the work is to end; called before each step."""


class Painter(Protocol):
    """Paints jobs, and knows neither Celery nor SQL."""

    def paint(self, work: Work) -> None:
        """Paint the jobs of `work` until it has no more.

        Any other error is unforeseen: the caller finds out which of the jobs in hand
        it belongs to, and calls again with the rest.

        Raises:
            StoppedError: `work` was asked to end.
            UnfitError: This worker cannot paint jobs of this group, but others may: a
                model that cannot be loaded (`ModelError`), too little memory for it,
                a device or a package that is missing.
            DeviceError: The device is of no more use to this process.
        """


class Places(Protocol):
    """Knows where a model was submitted from."""

    def of(self, model: Model) -> Sequence[Model]:
        """Return a model at each of its places, the most recently submitted first."""


class Widths(Protocol):
    """Remembers how wide a batch of a group may be on a kind of device."""

    def get(self, job: Job, gpu: str) -> int | None:
        """Return the width for jobs like `job` on `gpu`, or None if unknown."""

    def set(self, job: Job, gpu: str, *, width: int, reason: str) -> None:
        """Note a width, and why: `memory` or `calibrated`."""


class Compilations(Protocol):
    """Remembers which groups run compiled networks, for all workers together."""

    def get(self, job: Job) -> bool | None:
        """Return whether a job's group does; None if that is not decided."""

    def work_left(self, job: Job) -> tuple[float, float]:
        """Return the jobs left in a job's group for each GPU, and all their calls."""

    def cost_s(self, job: Job, gpu: str) -> float | None:
        """Return the seconds that compiling the model last took; None if unknown."""

    def settle(self, job: Job, gpu: str, *, compiled: bool, reason: str) -> bool:
        """Decide, unless another worker has; return what holds."""

    def note_cost(self, job: Job, *, seconds: float) -> None:
        """Note the seconds that compiling for a job's group took."""
