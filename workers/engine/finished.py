"""A job after its last step; its pixels may still be on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.host.environment import Environment
from storage.job import Job
from workers.devices.device_errors import device_errors
from workers.engine.clock import Moment
from workers.engine.decoding import Decoded
from workers.engine.pipelines import Resident, name_of
from workers.engine.slot import Starter
from workers.painting import Painting


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The data of a finished slot that other threads need.

    It does not keep the slot, whose scheduler may hold tensors of whole batches.

    Attributes:
        job: The job that was painted.
        width: Rows of the batch.
        index: The row, from 0.
        evaluations: Calls of the network.
        encoding: Moments before and after its texts were encoded.
        shares: Spans of time, each with the number of jobs that it served.
        decoded: Its pixels.
        load_s: Seconds to load the model; 0 if it was resident.
        warm_up: Whether it was among the first after a load or a compilation.
        peak_bytes: Most GPU memory in use during its batch; None on a CPU.
        resident: The pipeline.
        starter: Prepared the job; it holds the device's clock.
        environment: Where and with what it was painted.
    """

    job: Job
    width: int
    index: int
    evaluations: int
    encoding: tuple[Moment, Moment]
    shares: Sequence[tuple[Moment, Moment, int]]
    decoded: Decoded
    load_s: float
    warm_up: bool
    peak_bytes: int | None
    resident: Resident
    starter: Starter
    environment: Environment

    def fetch(self) -> Painting:
        """Wait for the pixels, and return the picture with its figures.

        Raises:
            NonFiniteError: A pixel is NaN or infinite.
            UnfitError: The device ran out of memory.
            DeviceError: The device failed.
            ModelError: The model's files may have changed since it was loaded.
        """
        clock, family = self.starter.clock, self.starter.family
        # A GPU reports earlier errors only when it is waited for.
        with device_errors("one image"), self.resident.trusted():
            image = self.decoded.image(family.pipe, clock)
            denoise_s = sum(
                clock.seconds(began, ended) / served
                for began, ended, served in self.shares
            )
        return Painting(
            image=image,
            environment=self.environment,
            engine="slots",
            batch_width=self.width,
            slot=self.index,
            evaluations=self.evaluations,
            load_s=self.load_s,
            encode_s=clock.seconds(*self.encoding),
            denoise_s=denoise_s,
            decode_s=clock.seconds(self.decoded.began, self.decoded.ended),
            decode_dtype=name_of(family.decode_dtype),
            warm_up=self.warm_up,
            peak_bytes=self.peak_bytes,
            place=self.resident.place,
        )
