"""As good means no worse by more than a margin."""

import math

import numpy as np
import pytest

from analysis.margins import default_margin, given_margin, seed_deviation
from analysis.noninferiority import Outcome, compare
from storage.errors import UsageError
from tests.panels import make_panel, noise

MARGIN = given_margin(0.5)


def shifted(gain: float, spread: float = 0.1, **how):
    """A panel whose setting 1 is better by about `gain`."""
    values = noise(12, 3, 2) * spread
    values -= values.mean(axis=(0, 1))
    values[:, :, 1] += gain
    return make_panel(values, **how)


@pytest.mark.parametrize(
    ("gain", "outcome"),
    [
        (1.0, Outcome.AS_GOOD),
        (0.0, Outcome.AS_GOOD),
        (-0.4, Outcome.AS_GOOD),
        (-0.5, Outcome.NOT_DECIDED),
        (-0.6, Outcome.WORSE),
        (-2.0, Outcome.WORSE),
    ],
)
def test_the_bounds_are_held_against_the_margin(gain, outcome) -> None:
    found = compare(shifted(gain), 1, reference=0, margin=MARGIN)
    assert found.outcome is outcome
    assert found.margin == MARGIN
    assert found.difference.mean_gain == pytest.approx(gain)


def test_where_lower_is_better_a_fall_is_a_gain() -> None:
    down = shifted(-2.0, higher_is_better=False)
    assert compare(down, 1, reference=0, margin=MARGIN).outcome is Outcome.AS_GOOD
    up = shifted(2.0, higher_is_better=False)
    assert compare(up, 1, reference=0, margin=MARGIN).outcome is Outcome.WORSE


def test_noise_decides_nothing() -> None:
    found = compare(shifted(0.0, spread=5.0), 1, reference=0, margin=MARGIN)
    assert found.outcome is Outcome.NOT_DECIDED


def test_equal_images_are_called_equal() -> None:
    values = np.repeat(noise(12, 3, 1), 2, axis=2)
    found = compare(make_panel(values), 1, reference=0)
    assert found.outcome is Outcome.EQUAL
    assert found.difference.n_equal == found.difference.n_pairs == 36


def test_below_ten_prompts_nothing_is_decided() -> None:
    values = np.repeat(noise(9, 3, 1), 2, axis=2)
    for panel in (make_panel(values), make_panel(noise(9, 3, 2))):
        found = compare(panel, 1, reference=0, margin=MARGIN)
        assert found.outcome is Outcome.NOT_DECIDED


def test_where_few_prompts_differ_all_must_agree() -> None:
    values = np.zeros((12, 1, 2))
    values[:3, 0, 1] = -0.4
    alike = make_panel(values)
    assert compare(alike, 1, reference=0, margin=MARGIN).outcome is Outcome.AS_GOOD
    values[0, 0, 1] = -0.6
    found = compare(make_panel(values), 1, reference=0, margin=MARGIN)
    assert found.outcome is Outcome.NOT_DECIDED
    values[:, 0, 1] = -1.0
    found = compare(make_panel(values), 1, reference=0, margin=MARGIN)
    assert found.outcome is Outcome.WORSE


def test_the_default_margin_is_a_fifth_of_what_seeds_change() -> None:
    values = np.zeros((12, 2, 2))
    values[:, :, 0] = [1.0, 3.0]  # a variance of 2 in every prompt
    panel = make_panel(values + noise(12, 1, 1))
    margin = default_margin(panel, 0)
    assert margin is not None
    assert margin.seed_deviation == pytest.approx(math.sqrt(2))
    assert margin.value == pytest.approx(0.2 * math.sqrt(2))
    assert compare(panel, 1, reference=0).margin == margin


def test_prompts_with_more_seeds_count_more_in_the_deviation() -> None:
    nan = math.nan
    values = [[[1.0], [3.0], [nan]], [[0.0], [0.0], [0.0]], [[9.0], [nan], [nan]]]
    # Squares of 2 over one and two degrees of freedom.
    assert seed_deviation(make_panel(values), 0) == pytest.approx(math.sqrt(2 / 3))


def test_without_a_second_seed_there_is_no_default() -> None:
    panel = make_panel(noise(12, 1, 2))
    assert math.isnan(seed_deviation(panel, 0))
    found = compare(panel, 1, reference=0)
    assert (found.margin, found.outcome) == (None, Outcome.NOT_DECIDED)


def test_seeds_that_never_differ_give_no_default() -> None:
    assert default_margin(make_panel(np.ones((12, 3, 1))), 0) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-0.25, "-0.25"), (math.nan, "nan"), (math.inf, "inf")],
)
def test_a_margin_is_above_zero(value, shown) -> None:
    with pytest.raises(UsageError) as caught:
        given_margin(value)
    assert str(caught.value) == (
        f"a margin must be a finite number above 0, but is {shown}; give the loss that "
        "still counts as none."
    )
