"""Resampling of prompts: weights, and the means and t statistics of resamples.

A prompt is always drawn with all its seeds and all its settings, so every setting sees
the same resample. Weights depend only on the number of prompts and on the seed.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from analysis.panel import Floats

#: Resamples for intervals: the draw of resamples itself moves a coverage of 95 % by a
#: third of a point.
RESAMPLES = 4_999
#: Numbers in one block of weights, 8 MB; enough for all resamples of 200 prompts.
BLOCK = 2**20
#: Variances below this share of the sample's own are rounding errors.
ROUNDING = 1e-9


def draw_weights(n_prompts: int, resamples: int, *, seed: int) -> Iterator[Floats]:
    """Draw how often each resample has each prompt, in blocks of resamples.

    Yields:
        (resamples of the block, n_prompts), read-only; each row sums to `n_prompts`.
    """
    if n_prompts * resamples <= BLOCK:
        yield _draw_once(n_prompts, resamples, seed)
        return
    generator = np.random.default_rng(seed)
    size = max(1, BLOCK // n_prompts)
    for start in range(0, resamples, size):
        yield _draw(generator, n_prompts, min(size, resamples - start))


@lru_cache(maxsize=4)
def _draw_once(n_prompts: int, resamples: int, seed: int) -> Floats:
    """Draw the only block; many settings are resampled by the same one."""
    return _draw(np.random.default_rng(seed), n_prompts, resamples)


def _draw(generator: np.random.Generator, n_prompts: int, rows: int) -> Floats:
    drawn = generator.integers(n_prompts, size=(rows, n_prompts))
    drawn += n_prompts * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * n_prompts)
    weights: Floats = counts.reshape(rows, n_prompts).astype(np.float64)
    weights.setflags(write=False)
    return weights


def resample_t(values: Floats, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return the t statistic of each resample about the mean of the sample.

    Efron & Tibshirani 1993, ch. 12.5.

    Args:
        values: (prompts, settings), NaN where a prompt has no value.
        seed: Seed of the resampling.
        resamples: How many.

    Returns:
        (resamples, settings), NaN where a resample has no spread.
    """
    scaled = _standardize(values)
    blocks = draw_weights(len(values), resamples, seed=seed)
    return np.concatenate([_t_of_block(weights, scaled) for weights in blocks])


def _standardize(values: Floats) -> Floats:
    mean = np.nanmean(values, axis=0)
    deviation = np.nanstd(values, axis=0)
    scaled: Floats = (values - mean) / np.where(deviation > 0, deviation, 1.0)
    return scaled


def _t_of_block(weights: Floats, scaled: Floats) -> Floats:
    """Return t from sums alone: s * sqrt((n - 1) / (n * q - s ** 2)).

    n counts the values of a resample, s is their sum and q that of their squares.
    """
    there = np.isfinite(scaled)
    filled = np.where(there, scaled, 0.0)
    counts = weights @ there.astype(np.float64)
    sums = weights @ filled
    spread = counts * (weights @ filled**2) - sums**2
    spread[spread <= ROUNDING * counts**2] = np.nan
    t: Floats = sums * np.sqrt((counts - 1) / spread)
    return t
