"""Panels with a known truth."""

from collections.abc import Hashable, Mapping

import numpy as np

from analysis.panel import Panel
from analysis.settings import Circumstances, Setting

Scores = Mapping[tuple[str, int], float]


def make_setting(scheduler: str, steps: int) -> Setting:
    return Setting((("scheduler", scheduler), ("steps", steps)))


def make_panel(
    scores: Scores,
    *,
    prompts: int = 20,
    seeds: int = 4,
    spread: float = 0.02,
    own_spread: float = 0.0,
    higher_is_better: bool = True,
) -> Panel:
    """A panel whose settings have these true means.

    Args:
        scores: The mean of each scheduler and number of steps.
        prompts: How many.
        seeds: Images of each prompt and setting.
        spread: Standard deviation of what all settings share of an image.
        own_spread: Standard deviation of what is an image's own.
        higher_is_better: Of the score.
    """
    random = np.random.default_rng(7)
    shared = random.normal(0, spread, (prompts, seeds, 1))
    own = random.normal(0, own_spread, (prompts, seeds, len(scores)))
    return Panel(
        metric="clip",
        higher_is_better=higher_is_better,
        prompts=tuple(f"prompt {n}" for n in range(prompts)),
        seeds=tuple(Circumstances((), seed) for seed in range(seeds)),
        settings=tuple(make_setting(*name) for name in scores),
        values=np.array(list(scores.values())) + shared + own,
    )


def costs_of(panel: Panel) -> dict[Hashable, float | None]:
    """A cost of one evaluation a step."""
    return {
        one: float(one.steps or 0) for one in panel.settings if isinstance(one, Setting)
    }
