"""Resamples of prompts: drawn evenly, the same for everything that is asked."""

import math

import numpy as np
import pytest

from analysis.resampling import draw_weights, resample_t
from tests.panels import noise


@pytest.mark.parametrize("prompts", [1, 10, 400])
def test_each_resample_has_as_many_prompts_as_there_are(prompts) -> None:
    weights = np.vstack(list(draw_weights(prompts, 3000, seed=0)))
    assert weights.shape == (3000, prompts)
    assert (weights.sum(axis=1) == prompts).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.15)
    # A prompt is drawn as often as by a fair choice: its count has nearly variance 1.
    assert weights.var(axis=0) == pytest.approx(1 - 1 / prompts, abs=0.2)


def test_many_prompts_come_in_several_blocks() -> None:
    assert len(list(draw_weights(10, 3000, seed=0))) == 1
    assert len(list(draw_weights(400, 3000, seed=0))) == 2


def test_weights_that_are_kept_cannot_be_changed() -> None:
    (weights,) = draw_weights(10, 100, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 5


def test_the_statistic_is_that_of_each_resample() -> None:
    values = noise(12, 2)
    values[3, 1] = math.nan
    (weights,) = draw_weights(12, 50, seed=0)
    t = resample_t(values, seed=0, resamples=50)
    for row in range(50):
        for column in range(2):
            drawn = np.repeat(values[:, column], weights[row].astype(int))
            drawn = drawn[np.isfinite(drawn)]
            error = drawn.std(ddof=1) / len(drawn) ** 0.5
            expected = (drawn.mean() - np.nanmean(values[:, column])) / error
            assert t[row, column] == pytest.approx(expected)


def test_a_resample_without_spread_has_no_statistic() -> None:
    values = np.zeros((10, 1))
    values[0] = 1.0
    (weights,) = draw_weights(10, 200, seed=0)
    t = resample_t(values, seed=0, resamples=200)[:, 0]
    np.testing.assert_array_equal(np.isnan(t), weights[:, 0] == 0)
