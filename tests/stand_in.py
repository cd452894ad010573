"""A painter without torch, at the seam below the turn: fast, slow or faulty on demand.

The prompt says what it does: `die` kills the process, `fail` is a failed job, `raise`
an unforeseen error, `unfit` a model that cannot be loaded, `deaf` a step that no stop
reaches; anything else is painted in one colour, `steps` times a hundredth of a second.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from storage.errors import JobError, ModelError
from storage.job import Job
from storage.results import Environment
from workers.painting import Painting

STEP_S = 0.01
ENVIRONMENT = Environment(gpu="none", host="test")


class StandIn:
    """Paints in one colour, at a limited rate."""

    def __init__(self) -> None:
        self.painted: list[str] = []

    def paint(self, job: Job, *, check: Callable[[], None]) -> Painting:
        """Do what the prompt says."""
        self.painted.append(job.key)
        if job.prompt == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.prompt == "fail":
            msg = "this job must fail, and does"
            raise JobError(msg)
        if job.prompt == "raise":
            raise ZeroDivisionError
        if job.prompt == "unfit":
            msg = "the model must be there, but is not"
            raise ModelError(msg)
        for _ in range(job.steps):
            time.sleep(STEP_S)
            if job.prompt != "deaf":
                check()
        colour = f"#{job.key[:6]}"
        image = Image.new("RGB", (job.width, job.height), colour)
        return Painting(
            image=image,
            environment=ENVIRONMENT,
            evaluations=job.steps,
            denoise_s=STEP_S,
        )


def make_painter(_device: str, *, threads: int, digests: Path) -> StandIn:
    """Make the stand-in, as `workers.process` asks for it."""
    assert threads
    assert digests.name
    return StandIn()
