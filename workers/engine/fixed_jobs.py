"""Painting a fixed list of jobs, without a worker's queue."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from storage.errors import JobError
from storage.job import Job
from workers.engine.compiling import Compiled
from workers.engine.hub import Hub
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.vitals.tally import Tally


def paint_all(
    starter: Starter, jobs: Sequence[Job], *, compiled: Compiled | None = None
) -> list[Run]:
    """Paint jobs in one batch, and return their runs in the order in which they ended.

    Args:
        starter: Prepares jobs of the pipeline.
        jobs: The jobs, of one group; a single one is painted as a plain script does.
        compiled: The compiled networks; None if they are not compiled.

    Raises:
        JobError: One of them cannot be painted.
        UnfitError: A package that a scheduler needs is missing here.
        UnshareableError: Calls of several jobs cannot be merged.
    """
    source = _NoMore()
    Hub(starter, jobs, source, width=len(jobs), tally=Tally(), compiled=compiled).run()
    return source.runs


def plain_job(starter: Starter, like: Job, **changes: Any) -> Job:
    """Return a job that resembles another one, to be tried or measured.

    It has the scheduler that the model comes with, and no parameter but those that all
    pipelines have.
    """
    own = type(starter.pipe.scheduler).__name__
    return replace(
        like, scheduler_class=own, scheduler_options={}, extras={}, **changes
    )


class _NoMore:
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
        """Never stop."""

    def finish(self, run: Run) -> None:
        """Keep the run."""
        self.runs.append(run)

    def fail(self, job: Job, error: JobError) -> None:
        """Raise the error."""
        del job
        raise error
