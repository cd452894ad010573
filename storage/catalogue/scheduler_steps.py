"""What a number of steps costs."""

import math
from collections.abc import Mapping
from typing import Any

from storage.catalogue.scheduler_options import SIGMA_SCHEDULES, SchedulerClass

#: With one of these options, timesteps come from sigmas, and spacing does not round.
_OWN_TIMESTEPS = (*SIGMA_SCHEDULES, "use_flow_sigmas")


def count_evaluations(
    of: SchedulerClass,
    options: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    steps: int,
    has_schedule: bool = False,
) -> int:
    """Return how many model evaluations diffusers makes for a number of steps.

    A schedule is used as it is: no rounding adds a step.
    """
    values = of.values(options, config)
    count = steps
    if not has_schedule:
        count += has_rounded_step(values, train_steps(config), steps=steps)
    if of.evaluations == "2n-1":
        return 2 * count - 1
    if of.evaluations == "n":
        return count
    return count + (count > 1) if values["skip_prk_steps"] else count + 9


def train_steps(config: Mapping[str, Any]) -> int:
    """Return the number of timesteps in a model's training."""
    return int(config.get("num_train_timesteps", 1000))


def has_rounded_step(values: Mapping[str, Any], train: int, *, steps: int) -> bool:
    """Return whether rounding makes "trailing" spacing one too long, ending at -1.

    diffusers spaces with `numpy.arange(train, 0, -train / steps)`, whose length is the
    quotient below, rounded up. Float errors make it 62 for 61 steps of 1000.
    """
    if values.get("timestep_spacing") != "trailing":
        return False
    if any(values.get(name) for name in _OWN_TIMESTEPS):
        return False
    return math.ceil(train / (train / steps)) > steps
