"""A check of each loaded pipeline: may its jobs share the calls of the network?

Two small images are made together and alone. They must be equal but for rounding. A
pipeline that fails would make wrong images silently, so its jobs are painted one by
one.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError, in_words
from storage.job import Job
from workers.devices.device_errors import is_shortage
from workers.engine.hub import Hub
from workers.engine.network_calls import UnshareableError
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.engine.tally import Tally

#: Two texts with equally many tokens: otherwise their calls would not be merged.
PROMPTS = ("a cat", "a dog")
#: Most pixels per side, and steps of the scheduler that the model comes with.
SIDE, STEPS = 128, 2
#: Most that a pixel (0 to 1) may differ by rounding in a network of this dtype. Errors
#: by other rows are larger by far.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}


def find_fault(starter: Starter, job: Job, dtype: torch.dtype) -> str:
    """Return why jobs of a pipeline cannot share calls; empty if they can.

    Args:
        starter: Prepares jobs of the pipeline.
        job: One of its jobs; the images that are made resemble it.
        dtype: Of its network.

    Raises:
        RuntimeError: The device is short of memory, or fails.
    """
    jobs = [
        replace(
            job,
            prompt=prompt,
            negative_prompt="",
            width=min(job.width, SIDE),
            height=min(job.height, SIDE),
            seed=seed,
            scheduler_class=type(starter.pipe.scheduler).__name__,
            scheduler_options={},
            steps=STEPS,
            guidance=job.guidance + seed
            if job.guidance > NO_GUIDANCE
            else job.guidance,
            extras={},
        )
        for seed, prompt in enumerate(PROMPTS)
    ]
    try:
        return _compare(starter, jobs, TOLERANCE[dtype])
    finally:
        starter.forget_texts()


def _compare(starter: Starter, jobs: Sequence[Job], tolerance: float) -> str:
    try:
        alone = [_paint(starter, [each], 1)[each.key] for each in jobs]
    except JobError:
        return ""  # the job itself will tell
    try:
        together = _paint(starter, jobs, len(jobs))
    except (UnshareableError, JobError) as exc:
        return str(exc)
    except (RuntimeError, TypeError, ValueError, LookupError) as exc:
        if is_shortage(exc):
            raise
        return f"calls that are merged fail: {in_words(exc)}"
    differences = [
        float((one - together[each.key]).abs().max())
        for one, each in zip(alone, jobs, strict=True)
    ]
    if all(difference <= tolerance for difference in differences):
        return ""
    return (
        "two images that are made together differ from those made alone by "
        f"{max(differences):.2g} of 1"
    )


def _paint(
    starter: Starter, jobs: Sequence[Job], width: int
) -> dict[str, torch.Tensor]:
    """Return the pixels of jobs by key, in float32."""
    made = _Made()
    Hub(starter, jobs, made, width=width, tally=Tally()).run()
    return {run.job.key: run.result.float() for run in made.runs}


class _Made:
    """A `Source` without further jobs; it keeps the runs."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def take(self) -> Job | None:
        """Return no job."""
        return None

    def withdraw(self) -> list[Job]:
        """Return no jobs: all are wanted."""
        return []

    def check(self) -> None:
        """Never stop: it takes little time."""

    def finish(self, run: Run) -> None:
        """Keep the run."""
        self.runs.append(run)

    def fail(self, job: Job, error: JobError) -> None:
        """Raise the error."""
        del job
        raise error
