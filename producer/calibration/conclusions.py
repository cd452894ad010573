"""What a calibration measures, and what it concludes."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from producer.expansion.resolution import (
    defaults,
    make_job,
)
from producer.expansion.scheduler_planning import (
    PlannedScheduler,
    plan_scheduler,
    spell_out,
)
from producer.models.cards import ModelCard
from producer.spec.choices import choose_scheduler
from producer.spec.parameters import Prompt, SchedulerChoice
from storage.catalogue import schedulers
from storage.errors import UsageError
from storage.job import PlannedJob
from storage.jobs.speeds import Speed

#: Share of the best rate that the narrowest batch must reach to be chosen.
ENOUGH = 0.97
PROMPT = "a red circle on a blue background"
#: Schedulers that are measured if none is named, as far as they fit the model; if none
#: of them fits, all that do are measured.
USUAL = ("ddim", "euler", "euler_a", "heun", "dpmpp_2m", "unipc")


def plan_jobs(
    card: ModelCard,
    *,
    names: Sequence[str],
    steps: Sequence[int],
    base: Mapping[str, Any],
) -> list[PlannedJob]:
    """Make a strict job for each scheduler and step count.

    Args:
        card: The model.
        names: Names of schedulers, or a spec's words for several, such as `all`;
            empty for the usual ones.
        steps: Step counts.
        base: Parameters that are not the model's own defaults.

    Raises:
        UsageError: The model cannot do all of it; the message lists what.
    """
    wanted = {**defaults(card), **base, "prompt": Prompt(PROMPT), "strict": True}
    planned = _plan_schedulers(card, names)
    problems = card.check_size(wanted["width"], wanted["height"])
    for one in planned:
        problems += one.problems or _check_steps(
            card, one, steps, dtype=wanted["dtype"]
        )
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))
    pairs = ((one, count) for one in planned for count in dict.fromkeys(steps))
    return [
        _plan_job(card, one, {**wanted, "steps": count}, position=position)
        for position, (one, count) in enumerate(pairs)
    ]


def _plan_schedulers(card: ModelCard, names: Sequence[str]) -> list[PlannedScheduler]:
    planned: dict[str, PlannedScheduler] = {}
    for choice in _choose(card, names):
        one = plan_scheduler(choice, card)
        planned.setdefault(one.token, one)
    return list(planned.values())


def _choose(card: ModelCard, names: Sequence[str]) -> Iterator[SchedulerChoice]:
    if not names:
        names = [name for name in USUAL if _fits(name, card)] or ["all"]
    for name in names:
        several, _ = spell_out(choose_scheduler(name), card)
        yield from several


def _fits(name: str, card: ModelCard) -> bool:
    return not card.check_scheduler(schedulers.resolve(name))


def _check_steps(
    card: ModelCard, one: PlannedScheduler, steps: Sequence[int], *, dtype: str
) -> list[str]:
    return [
        problem
        for count in steps
        for problem in card.check_steps(one.asked, count, dtype=dtype)
    ]


def _plan_job(
    card: ModelCard,
    one: PlannedScheduler,
    parameters: Mapping[str, Any],
    *,
    position: int,
) -> PlannedJob:
    job = make_job({**parameters, "scheduler": one}, card)
    evaluations = schedulers.evaluations(
        job.scheduler_class,
        job.scheduler_options,
        config=card.scheduler_config,
        steps=job.steps,
    )
    return PlannedJob(
        job=job,
        position=position,
        evaluations=evaluations,
        scheduler_name=one.short_name(job.extras),
    )


def speed_of(
    planned: PlannedJob,
    seconds: Sequence[float],
    *,
    gpu: str,
    evaluations: int,
    measured_at: str,
) -> Speed:
    """Sum up the seconds of one or more images of one job."""
    job = planned.job
    return Speed(
        model=job.model.name,
        model_fingerprint=job.model.fingerprint,
        gpu=gpu,
        dtype=job.dtype,
        width=job.width,
        height=job.height,
        guidance=job.guidance,
        scheduler=planned.scheduler_name,
        scheduler_class=job.scheduler_class,
        scheduler_options=job.scheduler_options,
        steps=job.steps,
        evaluations=evaluations,
        images=len(seconds),
        median_s=median(seconds),
        least_s=min(seconds),
        most_s=max(seconds),
        measured_at=measured_at,
    )


def choose_width(rates: Mapping[int, float | None]) -> int | None:
    """Return the narrowest batch that is nearly as good as the best, or None.

    Args:
        rates: Images per second by width; None if memory did not suffice.
    """
    known = {width: rate for width, rate in rates.items() if rate}
    enough = ENOUGH * max(known.values(), default=0.0)
    return min((width for width, rate in known.items() if rate >= enough), default=None)
