"""Whether compiling a pipeline's networks is worth its time."""

from dataclasses import dataclass

from storage.errors import JobError, UnfitError
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.fixed_jobs import paint_all, plain_job
from workers.engine.network_calls import UnshareableError
from workers.engine.starter import Starter
from workers.painting import Compilations

#: The part of an image's time that compiled networks save at least. Measured on an
#: H200 in bfloat16: 0.29 (SD 1.5), 0.18 (SDXL), 0.26 (Flux 2 Klein).
SAVING = 0.18
#: Seconds to compile, for models that nobody has compiled on this kind of GPU.
COST_S = 120.0
#: How many times its cost compiling must save. The work left is an estimate.
MARGIN = 2.0
#: Texts of the measured images, of different lengths, and the number of images.
PROMPTS = ("a cat", "a small brown dog beside a red house in the snow")
ROWS = 4
#: Steps of each.
STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a pipeline is, uncompiled.

    Attributes:
        call_s: Seconds of one image in a call of the network.
        decode_s: Seconds to decode an image.
        takes_all: Whether texts of different lengths share a call. Otherwise a network
            would be compiled for each length.
    """

    call_s: float
    decode_s: float
    takes_all: bool


def choose(
    starter: Starter, job: Job, gpu: str, compilations: Compilations
) -> tuple[bool, str]:
    """Return whether to compile the networks for a job's group, and why.

    Args:
        starter: Prepares jobs of the pipeline.
        job: One of the group's jobs.
        gpu: Name of the GPU.
        compilations: Knows the work that is left, and earlier costs.

    Raises:
        DatabaseError: The database cannot be read.
        RuntimeError: The device fails.
    """
    jobs, calls = compilations.work_left(job)
    cost_s = compilations.cost_s(job, gpu) or COST_S
    pace = measure_pace(starter, job)
    if pace is None:
        return False, "its pace could not be measured"
    if not pace.takes_all:
        return False, "it would be compiled for each length of a text"
    total_s = calls * pace.call_s + jobs * pace.decode_s
    saved_s = SAVING * total_s
    reason = (
        f"it takes about {cost_s:.0f} s and saves about {saved_s:.0f} s of the "
        f"{total_s:.0f} s of work that are left for each GPU"
    )
    return saved_s > MARGIN * cost_s, reason


def measure_pace(starter: Starter, job: Job) -> Pace | None:
    """Measure a small batch of images like a job; None if none can be made."""
    jobs = [
        plain_job(
            starter,
            job,
            prompt=PROMPTS[number % len(PROMPTS)],
            seed=number,
            steps=STEPS,
        )
        for number in range(ROWS)
    ]
    try:
        paint_all(starter, jobs)  # a warm-up
        runs = paint_all(starter, jobs)
    except (JobError, UnfitError, UnshareableError):
        return None
    except (RuntimeError, MemoryError) as exc:
        if not is_shortage(exc):
            raise
        return None
    finally:
        starter.forget_texts()
    clock = starter.clock
    calls = sum(run.evaluations for run in runs)
    spans = [span for run in runs for span in run.shares]
    return Pace(
        call_s=sum(clock.seconds(a, b) / served for a, b, served in spans) / calls,
        decode_s=sum(clock.seconds(*run.decoding) for run in runs if run.decoding)
        / len(runs),
        takes_all=all(run.width == ROWS for run in runs),
    )
