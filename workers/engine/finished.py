"""A job after its last step, whose pixels may still be on their way from the device."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.host.environment import Environment
from storage.job import Job
from workers.engine.clock import Moment
from workers.engine.decoding import Decoded
from workers.engine.pipelines import Resident, device_errors, name_of
from workers.engine.slot import Starter
from workers.painting import Painting


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What is left of a slot for other threads.

    It is not the slot itself, whose scheduler may hold tensors of whole batches.

    Attributes:
        job: What was painted.
        width: Rows of the batch.
        index: The row, from 0.
        evaluations: Calls of the network.
        encoding: Moments before and after its texts were encoded.
        shares: Spans of time, each with the number of jobs that it served.
        decoded: Its pixels.
        load_s: Seconds to load the model, if it was loaded for this job.
        warm_up: Whether it was among the first after a load or a compilation.
        peak_bytes: Most GPU memory in use meanwhile; None on a CPU.
        resident: The pipeline.
        starter: What readied the job; it holds the device's clock.
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
            NonFiniteError: The pixels are not all numbers.
            DeviceError: The device failed meanwhile.
        """
        clock, family = self.starter.clock, self.starter.family
        # What befell the GPU meanwhile shows only now.
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
