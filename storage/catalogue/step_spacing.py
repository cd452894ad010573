"""Timesteps and noise levels for a number of steps, as scheduler classes space them."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from storage.catalogue.noise_levels import (
    Training,
    level_at,
    noise_levels,
    read_training,
    spaced_level,
    timestep_of,
)
from storage.catalogue.scheduler_options import SIGMA_SCHEDULES

_DPM = "DPMSolverMultistepScheduler"
#: Classes that keep timesteps as whole numbers, and space one more than they use.
_WHOLE = frozenset(
    {
        *("DEISMultistepScheduler", _DPM, "DPMSolverSinglestepScheduler"),
        *("SASolverScheduler", "UniPCMultistepScheduler"),
    }
)
#: Classes that round timesteps for Karras sigmas only.
_ROUND_KARRAS = frozenset({"KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"})
#: Classes that keep timesteps in float32.
_FLOAT32 = _ROUND_KARRAS | frozenset(
    {"EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"}
)
#: How much float errors may subtract from a whole-number timestep.
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """How a scheduler spaces its steps on a model.

    Attributes:
        class_name: Class in diffusers.
        training: What determines the model's noise levels.
        schedule: The option that spaces noise levels, such as `use_karras_sigmas`;
            empty if timesteps are spaced.
        timesteps: How timesteps are spaced: `linspace`, `leading` or `trailing`.
        offset: What `leading` adds to each timestep.
        lowest: Lowest level of a schedule, if it is set.
        highest: Highest level of a schedule, if it is set.
    """

    class_name: str
    training: Training
    schedule: str
    timesteps: str
    offset: int
    lowest: float | None
    highest: float | None

    @property
    def levels(self) -> tuple[float, ...]:
        """The noise level of each timestep of the training."""
        return noise_levels(self.training)

    @property
    def keeps_whole(self) -> bool:
        """Whether the class keeps timesteps as whole numbers, and spaces one more."""
        return self.class_name in _WHOLE

    def level(self, index: int, *, steps: int) -> float:
        """Return the noise level of a step; index 0 is the first, -1 the last."""
        index %= steps
        if not self.schedule:
            return self._plain_level(index, steps)
        share = index / max(steps - 1, 1)
        return spaced_level(self.schedule, share=share, bounds=self._bounds(steps))

    def begins_twice(self, steps: int) -> bool:
        """Return whether the first two timesteps are the same."""
        rounds = self._rounding()
        if rounds is None or steps < 2:
            return False
        first, second = (
            timestep_of(self.level(index, steps=steps), self.levels) for index in (0, 1)
        )
        return rounds(first) <= rounds(second)

    def _plain_level(self, index: int, steps: int) -> float:
        return level_at(self._timestep(index, steps), self.levels)

    def _bounds(self, steps: int) -> tuple[float, float]:
        if self.keeps_whole:
            lowest, highest = self.levels[0], self.levels[-1]
        else:
            lowest = self._plain_level(steps - 1, steps)
            highest = self._plain_level(0, steps)
        return self.lowest or lowest, self.highest or highest

    def _timestep(self, index: int, steps: int) -> float:
        """Return the unrounded timestep of a step."""
        train, more = self.training.steps, self.keeps_whole
        if self.timesteps == "trailing":
            return train - 1 - index * train / steps
        if self.timesteps == "leading":
            ratio = train // (steps + more)
            return float((steps - 1 + more - index) * ratio + self.offset)
        if steps + more == 1:
            return 0.0
        return train - 1 - index * (train - 1) / (steps - 1 + more)

    def _rounding(self) -> Callable[[float], float] | None:
        """Return how the class rounds timesteps; None if it does not."""
        if not self.schedule:
            return None
        is_karras = self.schedule == "use_karras_sigmas"
        if self.class_name in _ROUND_KARRAS and is_karras:
            return round
        if not self.keeps_whole:
            return _as_float32 if self.class_name in _FLOAT32 else None
        is_lu = self.schedule == "use_lu_lambdas"
        is_cosine = self.training.schedule == "squaredcos_cap_v2"
        if self.class_name == _DPM and is_cosine:
            return math.floor if is_lu else _floor
        return round if is_karras or is_lu else _floor


def read_spacing(
    class_name: str, values: Mapping[str, Any], config: Mapping[str, Any]
) -> Spacing:
    """Read how a scheduler spaces its steps.

    Args:
        class_name: Class in diffusers.
        values: Values of its options.
        config: The model's original scheduler config. Its noise levels apply to every
            class, whether the class has an option for them or not.
    """
    return Spacing(
        class_name=class_name,
        training=read_training(config, values),
        schedule=next((name for name in SIGMA_SCHEDULES if values.get(name)), ""),
        timesteps=str(values.get("timestep_spacing", "linspace")),
        offset=int(values.get("steps_offset", 0)),
        lowest=values.get("sigma_min", config.get("sigma_min")),
        highest=values.get("sigma_max", config.get("sigma_max")),
    )


@cache
def most_begun_once(spacing: Spacing) -> int:
    """Return the largest number of steps that do not repeat their first timestep."""
    return largest_below(spacing.begins_twice, spacing.training.steps)


def largest_below(is_wrong: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that is not wrong.

    Args:
        is_wrong: False up to some number, and true beyond it; false for 1.
        most: 1 or more.
    """
    if not is_wrong(most):
        return most
    right, wrong = 1, most
    while wrong - right > 1:
        middle = (right + wrong) // 2
        right, wrong = (right, middle) if is_wrong(middle) else (middle, wrong)
    return right


def _as_float32(timestep: float) -> float:
    return float(struct.unpack("f", struct.pack("f", timestep))[0])


def _floor(timestep: float) -> int:
    """Round down as diffusers does, whose first timestep may be 998.9999."""
    return math.floor(timestep - _TOLERANCE)
