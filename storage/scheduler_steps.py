"""What a number of steps costs, and which numbers a scheduler cannot run."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from storage.scheduler_options import SchedulerClass

#: With one of these the timesteps come from sigmas, and spacing does not round.
_OWN_TIMESTEPS = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
)


def count_evaluations(
    of: SchedulerClass,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    steps: int,
) -> int:
    """Count the model evaluations for a number of steps, as diffusers makes them."""
    values = of.values(options, config)
    count = steps + _has_rounded_step(values, _train_steps(config), steps=steps)
    if of.evaluations == "2n-1":
        return 2 * count - 1
    if of.evaluations == "n":
        return count
    return count + (count > 1) if values["skip_prk_steps"] else count + 9


def find_problems(
    of: SchedulerClass,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    steps: int,
) -> list[str]:
    """Say why a scheduler cannot run this many steps; empty when it can."""
    values = of.values(options, config)
    train = _train_steps(config)
    return [
        *_too_few(of, values, steps=steps),
        *_too_many(of, values, train=train, steps=steps),
        *_rounded(values, train=train, steps=steps),
    ]


def _train_steps(config: Mapping[str, Any]) -> int:
    return int(config.get("num_train_timesteps", 1000))


def _has_rounded_step(values: Mapping[str, Any], train: int, *, steps: int) -> bool:
    """Whether rounding makes "trailing" spacing one too long, ending at -1.

    diffusers spaces with `numpy.arange(train, 0, -train / steps)`, whose length is
    this quotient rounded up; floats make it 62 for 61 of 1000.
    """
    if values.get("timestep_spacing") != "trailing":
        return False
    if any(values.get(name) for name in _OWN_TIMESTEPS):
        return False
    return math.ceil(train / (train / steps)) > steps


def _too_few(
    of: SchedulerClass, values: Mapping[str, Any], *, steps: int
) -> Iterator[str]:
    if not values.get("skip_prk_steps", True) and steps < 4:
        yield (
            "PNDM with its Runge-Kutta start needs 4 or more steps, got"
            f" {steps}; use plms, or more steps"
        )
    if values.get("shift_terminal") and steps == 1:
        yield (
            f"{of.name} with `shift_terminal` needs 2 or more steps, got 1;"
            " leave the option out, or use more steps"
        )


def _too_many(
    of: SchedulerClass, values: Mapping[str, Any], *, train: int, steps: int
) -> Iterator[str]:
    own = values.get("original_inference_steps", train)
    name = "original_inference_steps" if own < train else "num_train_timesteps"
    limit = min(own, train)
    if steps > limit:
        yield (
            f"steps of {of.name} must be 1 to its {name}, {limit}, got {steps};"
            " use fewer steps"
        )


def _rounded(values: Mapping[str, Any], *, train: int, steps: int) -> Iterator[str]:
    if _has_rounded_step(values, train, steps=steps):
        yield (
            f"{steps} steps with `timestep_spacing: trailing` would round to"
            f" {steps + 1}, the last at timestep -1, got {steps};"
            f" use {steps - 1} or another count"
        )
