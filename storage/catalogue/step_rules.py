"""Rules on which numbers of steps a scheduler cannot run, each with a way out.

The rules follow what diffusers does with a number of steps: if that would end in an
error, NaN or infinity, the number is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.catalogue.flow_levels import most_flow_steps
from storage.catalogue.scheduler_options import SchedulerClass
from storage.catalogue.scheduler_steps import has_rounded_step, train_steps
from storage.catalogue.step_spacing import (
    Spacing,
    largest_below,
    most_begun_once,
    read_spacing,
)

_DPM = "DPMSolverMultistepScheduler"
#: Classes that look up in a table what is left of the image at each timestep.
_TABLES = frozenset({"DDIMScheduler", "DDPMScheduler", "PNDMScheduler"})
#: Classes that divide by the distance between two noise levels.
_DIVIDING = frozenset(
    {"DEISMultistepScheduler", _DPM, "SASolverScheduler", "UniPCMultistepScheduler"}
)
#: Likewise, but spaced as Euler spaces steps; `_DIVIDING` spaces as for one step more.
_DIVIDING_AS_EULER = frozenset({"DPMSolverSDEScheduler", "LMSDiscreteScheduler"})
#: Classes that add noise in proportion to what a step leaves.
_ANCESTRAL = frozenset(
    {"EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"}
)
#: Classes whose latents are as large as the noise level.
_UNSCALED = _ANCESTRAL | frozenset(
    {
        *("DPMSolverSDEScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"),
        *("KDPM2DiscreteScheduler", "LMSDiscreteScheduler"),
    }
)
#: Number of steps below which `lower_order_final` lowers the order of the last steps.
_LOWER_BELOW = 15
#: Largest noise level at which float16 holds the noise, up to four times as large.
_FLOAT16_LEVEL = 65504 / 4
#: Ratio of two levels whose squares float32 can still subtract from 1.
_FLOAT32_RATIO = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCase:
    """A scheduler with a number of steps, as the rules see it.

    Attributes:
        of: The scheduler class.
        values: Values of its options.
        config: The model's original scheduler config.
        steps: The requested number.
        dtype: Precision of the latents.
        begins_at_zero: Whether the pipeline tells the scheduler to begin at its first
            timestep, rather than to look it up.
        spacing: Spacing of the steps.
    """

    of: SchedulerClass
    values: Mapping[str, Any]
    config: Mapping[str, Any]
    steps: int
    dtype: str
    begins_at_zero: bool
    spacing: Spacing

    @property
    def train(self) -> int:
        """Timesteps of the model's training."""
        return train_steps(self.config)

    @property
    def is_flow(self) -> bool:
        """Whether levels are those of flow matching."""
        return self.of.family == "flow" or bool(self.values.get("use_flow_sigmas"))


def make_case(
    of: SchedulerClass,
    settings: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    steps: int,
    dtype: str,
    begins_at_zero: bool,
) -> StepCase:
    """Return the case for these steps, with `settings` on top of the model's config."""
    values = of.values(settings, config)
    return StepCase(
        of=of,
        values=values,
        config=config,
        steps=steps,
        dtype=dtype,
        begins_at_zero=begins_at_zero,
        spacing=read_spacing(of.name, values, config),
    )


def find_problems(case: StepCase) -> list[str]:
    """Return why a scheduler cannot run a number of steps; empty if it can.

    A number that is out of bounds is not checked further.
    """
    outside = [*_too_few(case), *_too_many(case)]
    return outside or [each for rule in _RULES for each in rule(case)][:1]


def _too_few(case: StepCase) -> Iterator[str]:
    if not case.values.get("skip_prk_steps", True) and case.steps < 4:
        yield (
            "PNDM with its Runge-Kutta start needs 4 or more steps, got"
            f" {case.steps}; use plms, or more steps"
        )
    if case.values.get("shift_terminal") and case.steps == 1:
        yield (
            f"{case.of.name} with `shift_terminal` needs 2 or more steps, got 1;"
            " leave the option out, or use more steps"
        )


def _too_many(case: StepCase) -> Iterator[str]:
    own = case.values.get("original_inference_steps", case.train)
    name = "original_inference_steps" if own < case.train else "num_train_timesteps"
    limit = min(own, case.train)
    if case.steps > limit:
        yield (
            f"steps of {case.of.name} must be 1 to its {name}, {limit}, got"
            f" {case.steps}; use fewer steps"
        )


def _rounded(case: StepCase) -> Iterator[str]:
    if has_rounded_step(case.values, case.train, steps=case.steps):
        yield (
            f"{case.steps} steps with `timestep_spacing: trailing` would round to"
            f" {case.steps + 1}, the last at timestep -1, got {case.steps};"
            f" use {case.steps - 1} or another count"
        )


def _beyond_training(case: StepCase) -> Iterator[str]:
    if case.of.name in _TABLES and (most := _most_within(case)) < case.steps:
        yield (
            f"{case.of.name} with `timestep_spacing: leading` and `steps_offset:"
            f" {case.values['steps_offset']}` must not begin beyond timestep"
            f" {case.train - 1}, got {case.steps} steps, which do;"
            f" use {_or_fewer(most)}"
        )


def _most_within(case: StepCase) -> int:
    if case.spacing.timesteps != "leading":
        return case.steps
    offset, train = case.spacing.offset, case.train
    counts = range(case.steps, 0, -1)
    within = (n for n in counts if (n - 1) * (train // n) + offset < train)
    return next(within, case.steps)


def _repeated(case: StepCase) -> Iterator[str]:
    divides = case.of.name in _DIVIDING | _DIVIDING_AS_EULER
    if not divides or case.is_flow or case.spacing.schedule:
        return
    if (most := _most_different(case)) < case.steps:
        yield (
            f"{case.of.name} needs a noise level of its own for each step, but with"
            f" `timestep_spacing: {case.spacing.timesteps}` two steps of {case.steps}"
            f" have the same, which gives NaN; use {_or_fewer(most)}"
        )


def _most_different(case: StepCase) -> int:
    train, offset = case.train, case.spacing.offset
    more = 1 if case.of.name in _DIVIDING else 0
    if case.spacing.timesteps == "linspace":
        return train - more
    if case.spacing.timesteps == "trailing":
        return train

    def has_equal(steps: int) -> bool:
        ratio = train // (steps + more)
        return ratio == 0 or (steps - 2 + more) * ratio + offset >= train - 1

    return largest_below(has_equal, case.steps)


def _first_twice(case: StepCase) -> Iterator[str]:
    if case.begins_at_zero or case.steps < 2:
        return
    schedule, most = case.spacing.schedule, case.steps
    if case.values.get("use_flow_sigmas"):
        schedule = "use_flow_sigmas"
        # DPM-Solver has no option for it, and shifts as the config says nevertheless.
        shifts = ("use_dynamic_shifting", "max_shift")
        of_config = {name: case.config[name] for name in shifts if name in case.config}
        values = {**of_config, **case.values}
        most = most_flow_steps(case.of.name, values, train=case.train)
    elif schedule:
        most = most_begun_once(case.spacing)
    if case.steps > most:
        yield (
            f"{case.of.name} looks up its first timestep, which must occur once,"
            f" but {case.steps} steps with `{schedule}` can round to it twice on"
            f" this model; use {_or_fewer(most)}"
        )


def _ends_twice(case: StepCase) -> Iterator[str]:
    values = case.values
    is_third = case.of.name == _DPM and values["solver_order"] > 2
    if (
        not is_third
        or not case.spacing.schedule
        or values["final_sigmas_type"] == "zero"
    ):
        return
    if case.steps >= (_LOWER_BELOW if values["lower_order_final"] else 3):
        yield (
            f"{case.of.name} of order 3 with `{case.spacing.schedule}` gives NaN at the"
            f" last step, whose noise levels are the same with `final_sigmas_type:"
            f" sigma_min`, got {case.steps} steps; set `solver_order: 2`"
        )


def _jumps(case: StepCase) -> Iterator[str]:
    if case.of.name not in _ANCESTRAL or not _jumps_too_far(case.spacing, case.steps):
        return
    counts = range(case.steps + 1, case.train + 1)
    more = next((n for n in counts if not _jumps_too_far(case.spacing, n)), None)
    yield (
        f"{case.of.name} with {case.steps} steps goes from one noise level to another,"
        f" more than {_FLOAT32_RATIO} times smaller, where the noise that it adds may"
        f" be NaN; use {f'{more} steps' if more else 'another scheduler'}"
    )


def _jumps_too_far(spacing: Spacing, steps: int) -> bool:
    if steps < 2:
        return False
    pairs = ((0, 1), (-2, -1))
    return any(
        spacing.level(before, steps=steps)
        > _FLOAT32_RATIO * spacing.level(after, steps=steps)
        for before, after in pairs
    )


def _overflows(case: StepCase) -> Iterator[str]:
    if case.dtype != "float16" or case.is_flow:
        return
    prediction = case.config.get("prediction_type", "epsilon")
    if prediction != "epsilon" and case.of.name not in _UNSCALED:
        return
    if case.spacing.levels[-1] <= _FLOAT16_LEVEL:
        return
    if (first := case.spacing.level(0, steps=case.steps)) > _FLOAT16_LEVEL:
        yield (
            f"float16 holds numbers up to 65504, but {case.of.name} with {case.steps}"
            f" steps begins at noise level {first:.0f} on this model; set"
            " `dtype: float32` or bfloat16"
        )


def _or_fewer(steps: int) -> str:
    return f"{steps} steps or fewer" if steps > 1 else "1 step"


_RULES: tuple[Callable[[StepCase], Iterator[str]], ...] = (
    _ends_twice,
    *(_rounded, _beyond_training, _repeated, _first_twice, _jumps, _overflows),
)
