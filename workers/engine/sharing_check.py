"""A check of each loaded pipeline: may its jobs share the calls of the network?

Two small images are made together and alone, with guidance and without. They must be
equal but for rounding. A pipeline that fails would make wrong images silently, so its
jobs are painted one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError, in_words
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.decoding import NON_FINITE
from workers.engine.fixed_jobs import paint_all
from workers.engine.network_calls import UnshareableError
from workers.engine.starter import Starter

#: Most pixels per side, and steps of the first job, with the scheduler that the model
#: comes with. The second job takes one step more, so that its timesteps are others.
SIDE, STEPS = 128, 1
#: Most that a pixel (0 to 1) may differ by rounding in a network of this dtype. Errors
#: by other rows are larger by far.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}


class CheckError(Exception):
    """Calls of two jobs fail when they are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two jobs are like.

    Attributes:
        prompts: Their texts; with as many tokens, or their calls would not be merged.
        guidances: Their guidance.
        negative: Their negative prompt.
    """

    prompts: tuple[str, str] = ("a cat", "a dog")
    guidances: tuple[float, float] = (NO_GUIDANCE, NO_GUIDANCE)
    negative: str = ""

    @property
    def equal(self) -> "Pair":
        """Two jobs that differ in nothing but seed and steps."""
        text, guidance = self.prompts[0], self.guidances[0]
        return replace(self, prompts=(text, text), guidances=(guidance, guidance))


#: With guidance and without, calls have other shapes. Of each line, the first pair that
#: a pipeline can paint is tried.
PAIRS = (
    (Pair(),),
    (
        Pair(guidances=(3.0, 4.0), negative="a red hat"),
        Pair(guidances=(3.0, 4.0)),
    ),
)


def find_fault(starter: Starter, job: Job, dtype: torch.dtype) -> str | None:
    """Return why jobs of a pipeline cannot share calls; empty if they can.

    Args:
        starter: Prepares jobs of the pipeline.
        job: One of its jobs; the images that are made resemble it.
        dtype: Of its network.

    Returns:
        The reason; None if no image could be made, so that nothing is known.

    Raises:
        RuntimeError: The device is short of memory, or fails.
    """
    small = replace(job, width=min(job.width, SIDE), height=min(job.height, SIDE))
    try:
        for like in (small, job):
            found = [
                _try_first(starter, like, some, TOLERANCE[dtype]) for some in PAIRS
            ]
            known = [fault for fault in found if fault is not None]
            if known:
                return next(filter(None, known), "")
    finally:
        starter.forget_texts()
    return None


def _try_first(
    starter: Starter, like: Job, pairs: Sequence[Pair], tolerance: float
) -> str | None:
    """Return the fault with the first pair that the pipeline can paint, or None."""
    for pair in pairs:
        fault = _try(starter, like, pair, tolerance)
        if fault is not None:
            return fault
    return None


def _try(starter: Starter, like: Job, pair: Pair, tolerance: float) -> str | None:
    """Return the fault with one pair; None if the pipeline cannot paint it."""
    try:
        is_merged, fault = _compare(starter, _jobs(starter, like, pair), tolerance)
        if not is_merged:
            is_merged, fault = _compare(
                starter, _jobs(starter, like, pair.equal), tolerance
            )
    except (UnshareableError, CheckError) as exc:
        return str(exc)
    except (JobError, RuntimeError) as exc:
        if is_shortage(exc):
            raise
        return None  # a failing device will fail again
    return fault if is_merged else "calls of equal jobs cannot be merged"


def _jobs(starter: Starter, like: Job, pair: Pair) -> list[Job]:
    return [
        replace(
            like,
            prompt=prompt,
            negative_prompt=pair.negative,
            seed=number,
            scheduler_class=type(starter.pipe.scheduler).__name__,
            scheduler_options={},
            steps=STEPS + number,
            guidance=guidance,
            extras={},
        )
        for number, (prompt, guidance) in enumerate(
            zip(pair.prompts, pair.guidances, strict=True)
        )
    ]


def _compare(
    starter: Starter, jobs: Sequence[Job], tolerance: float
) -> tuple[bool, str]:
    """Return whether calls were merged, and the fault; empty if there is none.

    Raises:
        CheckError: Merged calls fail.
        JobError: The pipeline cannot paint one of the jobs alone.
        RuntimeError: The same, for other reasons.
    """
    alone = [paint_all(starter, [each])[0].result for each in jobs]
    if not all(pixels.isfinite().all() for pixels in alone):
        raise JobError(NON_FINITE)
    try:
        runs = paint_all(starter, jobs)
    except (RuntimeError, TypeError, ValueError, LookupError, JobError) as exc:
        if is_shortage(exc):
            raise
        msg = f"calls that are merged fail: {in_words(exc)}"
        raise CheckError(msg) from exc
    together = {run.job.key: run.result for run in runs}
    difference = max(
        float((pixels.float() - together[each.key].float()).abs().max())
        for pixels, each in zip(alone, jobs, strict=True)
    )
    fault = (
        "two images that are made together differ from those made alone by "
        f"{difference:.2g} of 1"
    )
    is_merged = all(run.width == len(jobs) for run in runs)
    return is_merged, "" if difference <= tolerance else fault
