"""Resampling of prompts: weights, and the means and t statistics of resamples.

A prompt is always drawn with all its seeds and all its settings, so every setting sees
the same resample. Weights depend only on the number of prompts and on the seed.
"""

from collections.abc import Iterator

import numpy as np

from analysis.panel import Floats

#: Resamples for intervals: few enough to be quick, and enough that the simulation
#: itself moves a coverage of 95 % by less than a quarter of a point.
RESAMPLES = 9_999
#: Numbers in one block of weights, 8 MB.
BLOCK = 2**20
#: Variances below this share of the sample's own are rounding errors.
ROUNDING = 1e-9


def draw_weights(n_prompts: int, resamples: int, *, seed: int) -> Iterator[Floats]:
    """Draw how often each resample has each prompt, in blocks of resamples.

    Yields:
        (resamples of the block, n_prompts); each row sums to `n_prompts`.
    """
    generator = np.random.default_rng(seed)
    size = max(1, BLOCK // n_prompts)
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        drawn = generator.integers(n_prompts, size=(rows, n_prompts))
        drawn += n_prompts * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n_prompts)
        yield counts.reshape(rows, n_prompts).astype(np.float64)


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
    there = np.isfinite(scaled)
    filled = np.where(there, scaled, 0.0)
    counts = weights @ there.astype(np.float64)
    sums = weights @ filled
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / counts
        variance = (weights @ filled**2 - sums * mean) / (counts - 1)
        t: Floats = mean / np.sqrt(variance / counts)
    t[~(variance > ROUNDING)] = np.nan
    return t
