"""A check of each loaded pipeline: may its jobs share the calls of the network?

Two small images are made together, each beside a copy of itself, and alone; with
guidance and without. An image may not depend on the one beside it, and with a copy of
itself it must be the same as alone, but for rounding. A pipeline that fails would make
wrong images silently, so its jobs are painted one by one.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError, in_words
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.fixed_jobs import paint_all, plain_job
from workers.engine.network_calls import UnshareableError
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.painting import NON_FINITE

#: Pixels of two images.
Images = Sequence[torch.Tensor]

#: Most pixels per side.
SIDE = 128
#: Steps of the first job, with the scheduler that the model comes with; more if it
#: cannot take so few. The second job takes one more, so that its timesteps are others.
STEPS = (1, 2)
#: Most that a pixel (0 to 1) may change with the image beside it. It changes by nothing
#: in all pipelines that were tried, whatever the dtype; see `docs/pipelines.md`.
BESIDE = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.02}
#: Most that two images may change with the width of their batch, as a share of the
#: difference between them. Kernels are chosen by the width, so they do change, and in
#: half precision visibly if the weights are random.
ROUNDING = {torch.float32: 0.05, torch.float16: 0.5, torch.bfloat16: 0.5}
#: Least difference between two images that counts; of 1, root mean square.
LEAST = 0.01


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
        for size, steps in itertools.product((small, job), STEPS):
            like = replace(size, steps=steps)
            found = [_try_first(starter, like, some, dtype) for some in PAIRS]
            known = [fault for fault in found if fault is not None]
            if known:
                return next(filter(None, known), "")
    finally:
        starter.forget_texts()
    return None


def _try_first(
    starter: Starter, like: Job, pairs: Sequence[Pair], dtype: torch.dtype
) -> str | None:
    """Return the fault with the first pair that the pipeline can paint, or None."""
    for pair in pairs:
        fault = _try(starter, like, pair, dtype)
        if fault is not None:
            return fault
    return None


def _try(starter: Starter, like: Job, pair: Pair, dtype: torch.dtype) -> str | None:
    """Return the fault with one pair; None if the pipeline cannot paint it."""
    try:
        is_merged, fault = _compare(starter, _jobs(starter, like, pair), dtype)
        if not is_merged:
            is_merged, fault = _compare(
                starter, _jobs(starter, like, pair.equal), dtype
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
        plain_job(
            starter,
            like,
            prompt=prompt,
            negative_prompt=pair.negative,
            seed=number,
            steps=like.steps + number,
            guidance=guidance,
        )
        for number, (prompt, guidance) in enumerate(
            zip(pair.prompts, pair.guidances, strict=True)
        )
    ]


def _compare(
    starter: Starter, jobs: Sequence[Job], dtype: torch.dtype
) -> tuple[bool, str]:
    """Return whether calls were merged, and the fault; empty if there is none.

    Raises:
        CheckError: Merged calls fail.
        JobError: The pipeline cannot paint one of the jobs alone.
        RuntimeError: The same, for other reasons.
    """
    alone = [_paint(starter, each)[0].result for each in jobs]
    if not all(pixels.isfinite().all() for pixels in alone):
        raise JobError(NON_FINITE)
    try:
        together = _paint(starter, *jobs)
        beside_copies = [
            _paint(starter, *[each] * len(jobs))[row].result
            for row, each in enumerate(jobs)
        ]
    except (RuntimeError, TypeError, ValueError, LookupError, JobError) as exc:
        if is_shortage(exc):
            raise
        msg = f"calls that are merged fail: {in_words(exc)}"
        raise CheckError(msg) from exc
    is_merged = all(run.width == len(jobs) for run in together)
    pixels = [run.result for run in together]
    return is_merged, _find_difference(alone, pixels, beside_copies, dtype)


def _paint(starter: Starter, *jobs: Job) -> list[Run]:
    """Paint jobs in one batch; return their runs by row."""
    return sorted(paint_all(starter, jobs), key=lambda run: run.row)


def _find_difference(
    alone: Images, together: Images, beside_copies: Images, dtype: torch.dtype
) -> str:
    """Return what is wrong with images; empty if nothing is.

    Args:
        alone: Each made alone; tensors of equal shapes, 0 to 1.
        together: The same, made in one batch.
        beside_copies: The same, each in a batch with copies of itself.
        dtype: Of the network.
    """
    changes = [_difference(*pair) for pair in zip(together, beside_copies, strict=True)]
    largest = max(float(change.abs().max()) for change in changes)
    if largest > BESIDE[dtype]:
        return f"an image changes by {largest:.2g} of 1 with the image beside it"
    change = max(
        _size(_difference(*pair)) for pair in zip(beside_copies, alone, strict=True)
    )
    share = change / max(LEAST, _size(_difference(*alone)))
    if share > ROUNDING[dtype]:
        return (
            "an image changes with the width of its batch by "
            f"{share:.2g} of the difference between two images"
        )
    return ""


def _difference(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one.float() - other.float()


def _size(difference: torch.Tensor) -> float:
    return float(difference.square().mean().sqrt())
