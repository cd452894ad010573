"""Distances with a known truth."""

from collections.abc import Iterator, Mapping

import numpy as np

from analysis.limits import Measured
from analysis.settings import Setting

#: Distance between two seeds of a prompt.
UNIT = 0.2
FALLING = {5: 0.5, 10: 0.2, 20: 0.03, 50: 0.01, 100: 0.002}


def make_series(scheduler: str, **more: object) -> Setting:
    return Setting((("scheduler", scheduler), *more.items()))


def measure(
    by_steps: Mapping[int, float],
    series: Setting,
    *,
    prompts: int = 12,
    seeds: int = 2,
    reference: int = 200,
) -> list[Measured]:
    """Distances that are these shares of the distance between two seeds."""
    factors = np.exp(np.random.default_rng(5).normal(0, 0.1, prompts))
    return [
        Measured(
            key=f"{key_of(series, prompt, seed)}-{steps}",
            series=series,
            prompt=f"prompt {prompt:02}",
            seed=seed,
            steps=steps,
            value=UNIT * share * factors[prompt],
            reference=key_of(series, prompt, seed),
            reference_steps=reference,
        )
        for prompt in range(prompts)
        for seed in range(seeds)
        for steps, share in by_steps.items()
    ]


def pair_seeds(
    series: Setting, *, prompts: int = 12, seeds: int = 2
) -> Iterator[tuple[str, float]]:
    """The distance of every further seed to the first."""
    for prompt in range(prompts):
        for seed in range(1, seeds):
            yield key_of(series, prompt, seed), UNIT


def key_of(series: Setting, prompt: int, seed: int) -> str:
    return f"{series}-{prompt}-{seed}"
