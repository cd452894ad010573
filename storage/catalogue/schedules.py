"""Lists of timesteps or noise levels that a sweep gives in place of a number of steps.

A schedule is a tuple: `timesteps` or `sigmas`, then the numbers, falling. `("ays",)` is
Align Your Steps (Sabour et al. 2024), whose timesteps depend on the model. A test
compares the data with diffusers 0.42.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from storage.catalogue.scheduler_names import NAMES, Scheduler
from storage.catalogue.scheduler_options import (
    CLASSES,
    SIGMA_SCHEDULES,
    kind_of_model,
    names_or,
)
from storage.catalogue.scheduler_steps import train_steps
from storage.catalogue.timestep_inputs import HANDED, TAKEN

Schedule = tuple[str | float, ...]

#: Ten timesteps each, by the pipeline's class.
AYS: Mapping[str, Schedule] = {
    "StableDiffusionPipeline": (
        *("timesteps", 999, 850, 736, 645, 545, 455, 343, 233, 124, 24),
    ),
    "StableDiffusionXLPipeline": (
        *("timesteps", 999, 845, 730, 587, 443, 310, 193, 116, 53, 13),
    ),
}
#: Pipelines that take a list, by its kind. Those for flow matching take `sigmas` only:
#: beside timesteps, their schedulers would shift the noise levels alone.
PIPELINES: Mapping[str, frozenset[str]] = {
    "timesteps": frozenset(
        {
            *("StableDiffusionPipeline", "StableDiffusionXLPipeline"),
            *("PixArtAlphaPipeline", "PixArtSigmaPipeline"),
        }
    ),
    "sigmas": frozenset(
        {
            *("StableDiffusionPipeline", "StableDiffusionXLPipeline"),
            *("PixArtAlphaPipeline", "PixArtSigmaPipeline", "SanaPipeline"),
            *("StableDiffusion3Pipeline", "FluxPipeline", "Flux2Pipeline"),
            *("Flux2KleinPipeline", "QwenImagePipeline", "QwenImage21Pipeline"),
            *("ZImagePipeline", "Krea2Pipeline", "ChromaPipeline", "Lumina2Pipeline"),
            *("AuraFlowPipeline", "HunyuanImagePipeline", "OvisImagePipeline"),
            *("HiDreamImagePipeline", "LongCatImagePipeline"),
        }
    ),
}
#: Classes that check timesteps against those of the distillation, and UniPC, which
#: cannot compute with a list.
_UNFIT = ("LCMScheduler", "TCDScheduler", "UniPCMultistepScheduler")
_EULER = "EulerDiscreteScheduler"


def meant(schedule: Schedule, pipeline: str) -> Schedule:
    """Return the list that a schedule stands for; itself if the model has none."""
    return AYS.get(pipeline, schedule) if schedule == ("ays",) else schedule


def steps_of(schedule: Schedule, class_name: str) -> int:
    """Return the number of steps; the sigmas of Euler include the one at the end."""
    ends_itself = class_name == _EULER and schedule[0] == "sigmas"
    return max(1, len(schedule) - 1 - ends_itself)


def find_problems(
    schedule: Schedule,
    scheduler: Scheduler,
    *,
    config: Mapping[str, Any],
    family: str,
    pipeline: str,
) -> list[str]:
    """Return why a model cannot use a schedule with a scheduler that it can use.

    Args:
        schedule: As `meant` returns it.
        scheduler: One that passed `schedulers.check`.
        config: The model's original scheduler config.
        family: Family of the model.
        pipeline: Class of its pipeline.
    """
    if schedule == ("ays",):
        return [
            f"`schedule: ays` is for {names_or([*AYS])}, got a {pipeline}; write a list"
            " such as {sigmas: [1, 0.8, 0.4]}"
        ]
    kind = str(schedule[0])
    if pipeline not in PIPELINES[kind]:
        others = [each for each in PIPELINES if pipeline in PIPELINES[each]]
        way_out = f"write {names_or(others)}" if others else "set `steps`"
        return [f"a {pipeline} takes no list of {kind}, got a schedule; {way_out}"]
    values = CLASSES[scheduler.class_name].values(scheduler.settings, config)
    is_flow = kind_of_model(family, config, pipeline=pipeline) == "flow"
    numbers = [float(each) for each in schedule[1:]]
    limit = 1.0 if is_flow else float("inf")
    most = train_steps(config) - 1.0 if kind == "timesteps" else limit
    return [
        *_of_class(kind, scheduler.class_name, values, pipeline=pipeline),
        *_of_numbers(kind, numbers, most=most, has_end=scheduler.class_name == _EULER),
    ]


def _of_class(
    kind: str, class_name: str, values: Mapping[str, Any], *, pipeline: str
) -> Iterator[str]:
    if kind not in TAKEN[class_name] or class_name in _UNFIT:
        fit = _names_for(kind, is_flow=pipeline in HANDED)
        yield (
            f"a schedule of {kind} needs a scheduler that takes them from a {pipeline},"
            f" got {class_name}; use {names_or(fit)}"
        )
    for name in SIGMA_SCHEDULES:
        if values.get(name):
            yield (
                f"`{name}` of {class_name} must be false beside a schedule, which it"
                " would replace, got true; leave out one of the two"
            )
    if kind == "timesteps" and values.get("interpolation_type") == "log_linear":
        yield (
            f"`interpolation_type` of {class_name} must be linear beside a schedule,"
            " got log_linear; leave out one of the two"
        )


def _names_for(kind: str, *, is_flow: bool) -> list[str]:
    """Return the plain names of the classes that take a list."""
    if is_flow:
        return ["flow_euler"]
    first = {row.class_name: row.name for row in [*NAMES.values()][::-1]}
    return [
        name
        for class_name, name in sorted(first.items())
        if kind in TAKEN[class_name]
        and CLASSES[class_name].family == "diffusion"
        and class_name not in _UNFIT
    ]


def _of_numbers(
    kind: str, numbers: list[float], *, most: float, has_end: bool
) -> Iterator[str]:
    ends_itself = has_end and kind == "sigmas"
    if any(later >= earlier for earlier, later in pairwise(numbers)):
        yield f"the {kind} of a schedule must fall, got {_shown(numbers)}; sort them"
    elif numbers[0] > most or numbers[-1] < 0:
        yield (
            f"the {kind} of a schedule must be from 0 to {most:g} on this model,"
            f" got {_shown(numbers)}; leave out what is beyond"
        )
    elif kind == "sigmas" and not ends_itself and numbers[-1] == 0:
        yield (
            "the sigmas of a schedule must end above 0, since the scheduler adds the 0,"
            f" got {_shown(numbers)}; leave the 0 out"
        )
    elif ends_itself and len(numbers) < 2:
        yield (
            "the sigmas of a schedule for Euler must end with the level of the finished"
            f" image, got {_shown(numbers)}; add a 0"
        )
    elif kind == "timesteps" and any(each != int(each) for each in numbers):
        yield (
            "the timesteps of a schedule must be whole numbers, got"
            f" {_shown(numbers)}; round them"
        )


def _shown(numbers: list[float]) -> str:
    return f"[{', '.join(f'{each:g}' for each in numbers)}]"
