"""Painting one job, as a plain script does, without a worker's queue."""

from storage.errors import JobError
from storage.host.environment import Environment
from storage.job import Job
from workers.engine.finished import Finished
from workers.engine.hub import Hub
from workers.engine.pipelines import Resident
from workers.engine.runs import Run
from workers.engine.tally import Tally
from workers.painting import Painting


def paint_alone(resident: Resident, job: Job, environment: Environment) -> Painting:
    """Paint one job; its texts are encoded, even if they are known.

    Args:
        resident: The pipeline of the job's model.
        job: The job to paint.
        environment: Where and with what it is painted.

    Raises:
        JobError: The job cannot be painted.
        UnfitError: A package that its scheduler needs is missing here.
    """
    once = _Once(resident, environment)
    resident.starter.forget_texts()
    Hub(resident.starter, [job], once, width=1, tally=Tally()).run()
    return once.made[0].fetch()


class _Once:
    """A `Source` without further jobs; it keeps what was made."""

    def __init__(self, resident: Resident, environment: Environment) -> None:
        self.made: list[Finished] = []
        self._resident = resident
        self._environment = environment

    def take(self) -> Job | None:
        """Return no job."""
        return None

    def withdraw(self) -> list[Job]:
        """Return no jobs: the only one is wanted."""
        return []

    def check(self) -> None:
        """Never stop."""

    def finish(self, run: Run) -> None:
        """Keep what was made."""
        made = Finished.of(run, self._resident, self._environment, engine="plain")
        self.made.append(made)

    def fail(self, job: Job, error: JobError) -> None:
        """Raise the error."""
        del job
        raise error
