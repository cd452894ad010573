"""Panels of made-up values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from analysis.panel import Panel


def make_panel(
    values: ArrayLike,
    settings: Sequence[object] | None = None,
    *,
    metric: str = "clip",
    higher_is_better: bool = True,
) -> Panel:
    """Label values: (prompts, seeds, settings); settings are 0, 1, ... by default."""
    array = np.asarray(values, dtype=float)
    n_prompts, n_seeds, n_settings = array.shape
    return Panel(
        metric=metric,
        higher_is_better=higher_is_better,
        prompts=tuple(f"prompt {number:02}" for number in range(n_prompts)),
        seeds=tuple(range(n_seeds)),
        settings=tuple(range(n_settings) if settings is None else settings),
        values=array,
    )


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    """Return normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)
