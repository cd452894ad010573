"""The jobs with which distances are measured: the same, but at many more steps.

A scheduler that draws noise in its steps has no limit for each image, so its jobs have
no reference. Where a scheduler cannot run so many steps, its reference has the most
that it can. The half of the reference is made too: its distance from the reference is
the floor below which distances say nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from producer.models.cards import ModelCard
from storage.catalogue import schedulers
from storage.catalogue.control_pipelines import networks_called
from storage.catalogue.image_pipelines import evaluations_skipped
from storage.catalogue.scheduler_case import is_noisy
from storage.catalogue.schedulers import CLASSES, Scheduler
from storage.errors import UsageError
from storage.job import Job, Model, PlannedJob, canonical_json

#: Added to the position of a reference: the images that it serves are made first.
AFTER = 10**9


class Without(Enum):
    """Why a job has no reference."""

    NOISE = "its scheduler draws noise, so there is no limit for each image"
    ITSELF = "it is its own reference"
    UNKNOWN = "its scheduler is not known here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a job is compared with.

    Attributes:
        full: The job at the steps of the reference.
        half: The same at half of them.
    """

    full: PlannedJob
    half: PlannedJob


@dataclass(slots=True)
class References:
    """Finds the reference of jobs; remembers what is the same for many of them.

    Attributes:
        find_card: Returns what a model says of itself; raises a `NightsweepError`.
        steps: Steps that references are to have.
    """

    find_card: Callable[[Model], ModelCard]
    steps: int
    _counts: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)

    def of(self, one: PlannedJob) -> Reference | Without:
        """Return what a job is compared with, or why it has nothing."""
        job = one.job
        scheduler = _scheduler(job)
        if scheduler is None:
            return Without.UNKNOWN
        card = self.find_card(job.model)
        values = CLASSES[job.scheduler_class].values(
            job.scheduler_options, card.scheduler_config
        )
        if is_noisy(CLASSES[job.scheduler_class], values, job.parameter("eta")):
            return Without.NOISE
        full, half = self._choose(card, scheduler, job)
        if not half or (job.steps == full and not job.schedule):
            return Without.ITSELF
        return Reference(full=_at(one, full, card), half=_at(one, half, card))

    def _choose(
        self, card: ModelCard, scheduler: Scheduler, job: Job
    ) -> tuple[int, int]:
        """Return the most steps up to `steps` that can run, and likewise up to half."""
        options = canonical_json(job.scheduler_options)
        key = (job.model.fingerprint, job.scheduler_class, options, job.dtype)
        if key not in self._counts:
            full = _most(card, scheduler, self.steps, job.dtype)
            half = _most(card, scheduler, full // 2, job.dtype)
            self._counts[key] = full, half
        return self._counts[key]


def _scheduler(job: Job) -> Scheduler | None:
    if job.scheduler_class not in CLASSES:
        return None
    return Scheduler(class_name=job.scheduler_class, options=job.scheduler_options)


def _most(card: ModelCard, scheduler: Scheduler, limit: int, dtype: str) -> int:
    """Return the most steps up to `limit` that a scheduler can run; 0 for none."""
    counts = range(limit, 0, -1)
    return next(
        (n for n in counts if not card.check_steps(scheduler, n, dtype=dtype)), 0
    )


def _at(one: PlannedJob, steps: int, card: ModelCard) -> PlannedJob:
    # A schedule has a number of steps of its own, so a reference has none.
    extras = {k: v for k, v in one.job.extras.items() if k != "schedule"}
    job = replace(one.job, steps=steps, extras=extras)
    of = CLASSES[job.scheduler_class]
    return replace(
        one,
        job=job,
        position=one.position + AFTER,
        rank=None,
        cell={},
        template=None,
        scheduler_label=None,
        former_keys=job.former_keys,
        evaluations=networks_called(job.extras)
        * (
            schedulers.evaluations(
                job.scheduler_class,
                job.scheduler_options,
                config=card.scheduler_config,
                steps=steps,
            )
            - evaluations_skipped(job.model.pipeline, of, job.extras, steps=steps)
        ),
    )


def require_same(card: ModelCard, model: Model) -> ModelCard:
    """Return a card if it is that of a stored model; its files may have changed since.

    Raises:
        UsageError: The files are others now.
    """
    prints = (card.model.fingerprint, *card.model.former_fingerprints)
    if model.fingerprint not in prints:
        msg = (
            f"references need the model of the images, but the files of {model.name} "
            "have changed since these were made; restore them, or ask only for scores "
            "that compare with no reference"
        )
        raise UsageError(msg)
    return card
