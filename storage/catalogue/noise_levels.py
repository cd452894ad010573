"""The noise levels that a model was trained at, as schedulers compute them.

A level is sigma, the ratio of noise to image: sqrt((1 - a) / a), where a is the product
of 1 - beta so far. Plain Python, since neither torch nor numpy may be imported here;
diffusers rounds to float32, so the last bits may differ.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

#: What diffusers substitutes for a last product of zero, to get a finite level.
_SMALLEST_PRODUCT = 2.0**-24
#: rho of Karras et al. 2022, equation 5.
_RHO = 7.0
#: Both parameters of the beta distribution in "Beta Sampling is All You Need".
_BETA = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What determines the noise levels of a model.

    Attributes:
        steps: Number of timesteps in the training.
        start: First beta.
        end: Last beta.
        schedule: How betas grow in between: `linear`, `scaled_linear`,
            `squaredcos_cap_v2`.
        betas: All betas, if the config lists them.
        has_zero_snr: Whether the last level is rescaled to pure noise.
    """

    steps: int
    start: float
    end: float
    schedule: str
    betas: tuple[float, ...] | None
    has_zero_snr: bool


def read_training(config: Mapping[str, Any], values: Mapping[str, Any]) -> Training:
    """Read how a model was trained.

    Args:
        config: The model's original scheduler config.
        values: Values of the scheduler's options.
    """
    betas = config.get("trained_betas")
    return Training(
        steps=int(config.get("num_train_timesteps", 1000)),
        start=float(config.get("beta_start", 0.0001)),
        end=float(config.get("beta_end", 0.02)),
        schedule=str(config.get("beta_schedule", "linear")),
        betas=None if betas is None else tuple(map(float, betas)),
        has_zero_snr=bool(values.get("rescale_betas_zero_snr")),
    )


@cache
def noise_levels(training: Training) -> tuple[float, ...]:
    """Return the level of each timestep of the training, from the lowest."""
    products = list(accumulate((1 - beta for beta in _betas(training)), mul))
    if training.has_zero_snr:
        products = _to_zero_snr(products)
    return tuple(math.sqrt((1 - each) / each) for each in products)


def timestep_of(level: float, levels: Sequence[float]) -> float:
    """Return the timestep of a level, interpolated between logarithms of levels."""
    low = min(max(bisect_right(levels, level) - 1, 0), len(levels) - 2)
    below, above = math.log(levels[low]), math.log(levels[low + 1])
    share = (math.log(max(level, 1e-10)) - below) / (above - below)
    return low + min(max(share, 0.0), 1.0)


def level_at(timestep: float, levels: Sequence[float]) -> float:
    """Return the level of a timestep, interpolated between levels and clipped."""
    low = min(max(math.floor(timestep), 0), len(levels) - 2)
    share = min(max(timestep - low, 0.0), 1.0)
    return levels[low] + share * (levels[low + 1] - levels[low])


def spaced_level(schedule: str, *, share: float, bounds: tuple[float, float]) -> float:
    """Return one level of a schedule of noise levels.

    Args:
        schedule: Name of the option that chooses it, such as `use_karras_sigmas`.
        share: Position in the schedule: 0 for the highest level, 1 for the lowest.
        bounds: Lowest and highest level.
    """
    lowest, highest = bounds
    if schedule == "use_karras_sigmas":
        low, high = lowest ** (1 / _RHO), highest ** (1 / _RHO)
        return float((high + share * (low - high)) ** _RHO)
    if schedule == "use_beta_sigmas":
        return highest - _beta_quantile(share) * (highest - lowest)
    return math.exp(math.log(highest) + share * math.log(lowest / highest))


def _betas(training: Training) -> Sequence[float]:
    if training.betas is not None:
        return training.betas
    count = training.steps
    if training.schedule == "squaredcos_cap_v2":
        kept = [_cosine(index / count) for index in range(count + 1)]
        return [min(1 - after / before, 0.999) for before, after in pairwise(kept)]
    power = 2 if training.schedule == "scaled_linear" else 1
    start, end = training.start ** (1 / power), training.end ** (1 / power)
    width = (end - start) / max(count - 1, 1)
    return [(start + width * index) ** power for index in range(count)]


def _cosine(time: float) -> float:
    # Nichol and Dhariwal 2021, equation 17.
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


def _to_zero_snr(products: Sequence[float]) -> list[float]:
    # Lin et al. 2023, algorithm 1.
    roots = [math.sqrt(each) for each in products]
    first, last = roots[0], roots[-1]
    scaled = [((each - last) * first / (first - last)) ** 2 for each in roots]
    return [*scaled[:-1], _SMALLEST_PRODUCT]


@cache
def _beta_quantile(share: float) -> float:
    """Return the beta quantile at `share`, 0 to 1, by bisection."""
    if share > 0.5:
        return 1 - _beta_quantile(1 - share)
    below, above = 0.0, 0.5
    while above - below > 1e-15 and below < (middle := (below + above) / 2) < above:
        below, above = (
            (middle, above) if _beta_share(middle) < share else (below, middle)
        )
    return above


def _beta_share(at: float) -> float:
    """Return the share of the beta distribution below `at`, which is 0 to 0.5."""
    term, total, index = 1.0, 0.0, 0
    while term > 1e-18:
        total += term / (_BETA + index)
        index += 1
        term *= at * (index - _BETA) / index
    norm = math.gamma(_BETA) ** 2 / math.gamma(2 * _BETA)
    return float(at**_BETA * total / norm)
