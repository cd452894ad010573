"""A job whose run has ended; its pixels may still be on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.host.environment import Environment
from storage.job import Job
from workers.devices.device_errors import device_errors
from workers.engine.clock import Clock, Moment
from workers.engine.decoding import Fetched, fetch
from workers.engine.pipelines import Resident, name_of
from workers.engine.runs import Run
from workers.painting import Painting


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The data of a run that has ended, for other threads.

    It does not keep the run, whose scheduler may hold tensors of whole batches.

    Attributes:
        job: The job that was painted.
        width: Rows of the batch.
        row: Its row, from 0.
        evaluations: Calls of the network.
        encoding: Moments before its call, and before the first call of a network.
        shares: Spans of time, each with the number of jobs that it served.
        decoding: Moments before and after its latents were decoded; None if they were
            not.
        decode_dtype: Precision of that decoding, `float32` and so on.
        fetched: Its pixels.
        load_s: Seconds to load the model; 0 if it was resident.
        warm_up: Whether it was among the first after a load or a compilation.
        peak_bytes: Most GPU memory in use during its batch; None on a CPU.
        resident: The pipeline.
        clock: Reads the moments.
        environment: Where and with what it was painted.
        engine: As in `Painting`.
    """

    job: Job
    width: int
    row: int
    evaluations: int
    encoding: tuple[Moment, Moment]
    shares: Sequence[tuple[Moment, Moment, int]]
    decoding: tuple[Moment, Moment] | None
    decode_dtype: str
    fetched: Fetched
    load_s: float
    warm_up: bool
    peak_bytes: int | None
    resident: Resident
    clock: Clock
    environment: Environment
    engine: str

    @classmethod
    def of(
        cls,
        run: Run,
        resident: Resident,
        environment: Environment,
        *,
        engine: str,
        warm_up: bool = False,
        peak_bytes: int | None = None,
    ) -> "Finished":
        """Take the data of a run that has ended, and start to fetch its pixels."""
        return cls(
            job=run.job,
            width=run.width or 1,
            row=run.row,
            evaluations=run.evaluations,
            encoding=run.encoding,
            shares=run.shares,
            decoding=run.decoding,
            decode_dtype=name_of(run.result.dtype),
            fetched=fetch(run),
            load_s=resident.finish(),
            warm_up=warm_up or run.warm_up,
            peak_bytes=peak_bytes,
            resident=resident,
            clock=run.clock,
            environment=environment,
            engine=engine,
        )

    def fetch(self) -> Painting:
        """Wait for the pixels, and return the picture with its figures.

        Raises:
            NonFiniteError: A pixel is NaN or infinite.
            UnfitError: The device ran out of memory.
            DeviceError: The device failed.
            ModelError: The model's files may have changed since it was loaded.
        """
        clock = self.clock
        # A GPU reports earlier errors only when it is waited for.
        with device_errors("one image"), self.resident.trusted():
            image = self.fetched.image(clock)
            denoise_s = sum(
                clock.seconds(began, ended) / served
                for began, ended, served in self.shares
            )
        return Painting(
            image=image,
            environment=self.environment,
            engine=self.engine,
            batch_width=self.width,
            slot=self.row,
            evaluations=self.evaluations,
            load_s=self.load_s,
            encode_s=clock.seconds(*self.encoding),
            denoise_s=denoise_s,
            decode_s=clock.seconds(*self.decoding) if self.decoding else 0.0,
            decode_dtype=self.decode_dtype,
            warm_up=self.warm_up,
            peak_bytes=self.peak_bytes,
            place=self.resident.place,
        )
