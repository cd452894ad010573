"""Painting one job, as a plain script does, without a worker's queue."""

from storage.host.environment import Environment
from storage.job import Job
from workers.engine.finished import Finished
from workers.engine.fixed_jobs import paint_all
from workers.engine.pipelines import Resident
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
    resident.starter.forget_texts()
    (run,) = paint_all(resident.starter, [job])
    return Finished.of(run, resident, environment, engine="plain").fetch()
