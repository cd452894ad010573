"""The scheduler catalogue: names, options, costs and what each class can do.

This module is the interface. Behind it are the tables (`tables`), what an option
accepts (`scheduler_options`), names (`scheduler_names`), how a job's scheduler is named
(`scheduler_labels`), what may not be requested (`scheduler_rules`), which numbers of
steps fail (`step_rules`) and what they cost (`scheduler_steps`). Words that stand for
several schedulers are in `scheduler_sets`.
Nothing here imports diffusers; a test compares all of it with diffusers itself.
"""

from collections.abc import Mapping
from typing import Any

from storage.catalogue import (
    scheduler_case,
    scheduler_rules,
    scheduler_steps,
    step_rules,
)
from storage.catalogue.scheduler_labels import (
    is_called_right,
    label_of,
    names_of,
    short_name,
)
from storage.catalogue.scheduler_names import NAMES, Name, Scheduler, resolve
from storage.catalogue.scheduler_options import CLASSES, Option, SchedulerClass

__all__ = [
    "CLASSES",
    "NAMES",
    "Name",
    "Option",
    "Scheduler",
    "SchedulerClass",
    "check",
    "check_steps",
    "effective_options",
    "evaluations",
    "is_called_right",
    "label_of",
    "names_of",
    "resolve",
    "rows",
    "short_name",
    "takes_eta",
    "takes_seed",
]


def check(
    scheduler: Scheduler,
    *,
    config: Mapping[str, Any],
    family: str,
    pipeline: str = "",
) -> list[str]:
    """Return everything that is wrong with a scheduler for a model.

    Args:
        scheduler: As resolved.
        config: The model's original scheduler config.
        family: Family of the model: `sd`, `sdxl`, `sd3`, `flux` or `other`.
        pipeline: Class of its pipeline; empty where it is not known.

    Returns:
        Sentences with rule, value and way out; empty if nothing is wrong.
    """
    case = scheduler_case.Case(
        of=CLASSES[scheduler.class_name],
        options=scheduler.options,
        pins=scheduler.pins,
        extras=scheduler.extras,
        config=config,
        family=family,
        pipeline=pipeline,
    )
    return scheduler_rules.find_problems(case)


def check_steps(
    scheduler: Scheduler,
    *,
    config: Mapping[str, Any],
    steps: int,
    dtype: str = "float32",
    begins_at_zero: bool = False,
) -> list[str]:
    """Return why a scheduler that passed `check` cannot run this many steps.

    Args:
        scheduler: As resolved.
        config: The model's original scheduler config.
        steps: The requested number.
        dtype: Precision of the job.
        begins_at_zero: Whether the pipeline tells schedulers to begin at their first
            timestep, rather than to look it up.
    """
    case = step_rules.make_case(
        CLASSES[scheduler.class_name],
        scheduler.settings,
        config=config,
        steps=steps,
        dtype=dtype,
        begins_at_zero=begins_at_zero,
    )
    return step_rules.find_problems(case)


def effective_options(
    scheduler: Scheduler, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options that count: those that change what the model's config sets.

    Args:
        scheduler: One that passed `check`.
        config: The model's original scheduler config.

    Returns:
        Options in their typed form, sorted by name. An option is dropped only
        if it equals what `from_config(config)` uses without it, never because
        it equals the class's default.
    """
    of = CLASSES[scheduler.class_name]
    typed = {
        name: of.options[name].typed(value)
        for name, value in sorted(scheduler.settings.items())
    }
    return {
        name: value
        for name, value in typed.items()
        if value != of.inherited(name, config)
    }


def evaluations(
    class_name: str,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    steps: int,
    has_schedule: bool = False,
) -> int:
    """Return the number of model evaluations, which is the number of timesteps."""
    return scheduler_steps.count_evaluations(
        CLASSES[class_name],
        options,
        config=config,
        steps=steps,
        has_schedule=has_schedule,
    )


def takes_seed(class_name: str) -> bool:
    """Return whether the class seeds its own noise and needs the job's seed."""
    return "noise_sampler_seed" in CLASSES[class_name].fixed


def takes_eta(class_name: str) -> bool:
    """Return whether the class's step takes eta; other classes ignore it."""
    return CLASSES[class_name].noise == "eta"


def rows(family: str | None = None) -> list[Name]:
    """List the catalogue for users.

    Args:
        family: `diffusion`, `flow` or `distilled`, or one of a model (`sd`, `sdxl`,
            `sd3`, `flux`); None for all.
    """
    kinds = {"sd": "diffusion", "sdxl": "diffusion", "sd3": "flow", "flux": "flow"}
    wanted = kinds.get(family or "", family)
    return [name for name in NAMES.values() if wanted in (None, name.family)]
