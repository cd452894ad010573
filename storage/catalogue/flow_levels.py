"""The noise levels of flow matching, as the solvers for diffusion space them.

A level is the share of noise, 0 to 1. The timestep is the level times the number of
timesteps in the training, rounded down to a whole number.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from storage.catalogue.step_spacing import largest_below

#: How far below 1 UniPC keeps its first level.
_FROM_ONE = 1e-6


def most_flow_steps(class_name: str, values: Mapping[str, Any], *, train: int) -> int:
    """Return the largest number of steps that do not repeat their first timestep.

    Args:
        class_name: DPM-Solver multistep, or UniPC; with `use_flow_sigmas`.
        values: Values of its options.
        train: Number of timesteps in the model's training.
    """
    ends_at = float(values.get("shift_terminal") or 0.0)
    return _most(class_name, _shift(values), ends_at=ends_at, train=train)


@cache
def _most(class_name: str, shift: float, *, ends_at: float, train: int) -> int:
    def begins_twice(steps: int) -> bool:
        least = 1 / train
        width = (1 - least) / steps
        if class_name == "UniPCMultistepScheduler":
            spaced = (1.0, 1 - width, least + width)
        else:
            spaced = (1 - least, 1 - least - width, width)
        levels = [shift * each / (1 + (shift - 1) * each) for each in spaced]
        if ends_at:
            scale = (1 - levels[2]) / (1 - ends_at)
            levels = [1 - (1 - each) / scale for each in levels]
        first = min(levels[0], 1 - _FROM_ONE)
        return steps > 1 and math.floor(first * train) == math.floor(levels[1] * train)

    return largest_below(begins_twice, train)


def _shift(values: Mapping[str, Any]) -> float:
    """Return the shift, or the largest one if it depends on the image's size."""
    if values.get("use_dynamic_shifting"):
        return math.exp(values.get("max_shift", 1.15))
    return float(values["flow_shift"])
