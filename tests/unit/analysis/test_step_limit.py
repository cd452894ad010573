"""From how many steps on a scheduler is at its own limit."""

import math

import numpy as np
import pytest

from analysis.panel import Panel
from analysis.step_limit import LimitOutcome, find_step_limit
from storage.errors import UsageError
from tests.panels import make_panel, noise

STEPS = (5, 10, 20, 50, 100, 150)


def distances(by_steps: dict[int, float], prompts: int = 12, spread: float = 0.1):
    """Distances with these means, before units."""
    means = np.array(list(by_steps.values()))
    values = means * np.exp(spread * noise(prompts, 3, len(means)))
    return make_panel(values, list(by_steps), metric="rmse", higher_is_better=False)


def units(panel, value: float = 1.0) -> dict:
    return dict.fromkeys(panel.prompts, value)


FALLING = {5: 0.5, 10: 0.2, 20: 0.03, 50: 0.01, 100: 0.002, 150: 0.001}


def find(panel, **how):
    how = {"reference": 200, "draws_noise": False, **how}
    return find_step_limit(panel, how.pop("units", units(panel)), **how)


def test_the_smallest_number_of_steps_at_the_limit_is_named() -> None:
    found = find(distances(FALLING))
    assert (found.outcome, found.steps) == (LimitOutcome.FOUND, 20)
    assert not found.is_smallest
    assert (found.reference, found.floor_steps, found.delta) == (200, 100, 0.05)
    assert (found.n_prompts, found.n_seeds, found.metric) == (12, 3, "rmse")


def test_tests_go_down_from_half_of_the_reference() -> None:
    tests = find(distances(dict(reversed(FALLING.items())))).tests
    assert [test.steps for test in tests] == [100, 50, 20, 10, 5]
    assert [test.is_at_limit for test in tests] == [True, True, True, False, False]


def test_the_first_failure_ends_it() -> None:
    found = find(distances({**FALLING, 50: 0.3}))
    assert found.steps == 100
    assert [test.is_at_limit for test in found.tests] == [
        *(True, False),
        *(True, False, False),
    ]


def test_the_limit_may_be_reached_before_the_smallest_number() -> None:
    found = find(distances(dict.fromkeys(STEPS, 0.01)))
    assert (found.steps, found.is_smallest) == (5, True)


def test_without_a_small_floor_it_did_not_converge() -> None:
    found = find(distances({**FALLING, 100: 0.06}))
    assert (found.outcome, found.steps) == (LimitOutcome.NOT_CONVERGED, None)


def test_distances_are_measured_in_those_of_two_seeds() -> None:
    panel = distances(FALLING)
    assert find(panel, units=units(panel, 10.0)).steps == 10
    assert find(panel, units=units(panel, 0.1)).steps == 100
    assert find(panel, delta=0.3).steps == 10


def test_prompts_without_a_unit_do_not_count() -> None:
    panel = distances(FALLING)
    known = units(panel)
    known[panel.prompts[0]] = 0.0
    known[panel.prompts[1]] = math.nan
    assert find(panel, units=known).n_prompts == 10
    del known[panel.prompts[2]]
    found = find(panel, units=known)
    assert (found.outcome, found.n_prompts) == (LimitOutcome.FEW_PROMPTS, 9)
    assert found.steps is None


def test_a_scheduler_that_draws_noise_has_no_limit() -> None:
    found = find(distances(FALLING), draws_noise=True)
    assert (found.outcome, found.steps) == (LimitOutcome.DRAWS_NOISE, None)
    assert found.tests == ()


def test_a_scheduler_that_draws_noise_needs_no_distances() -> None:
    empty = Panel.from_rows([], metric="rmse", higher_is_better=False)
    assert find(empty, draws_noise=True).outcome is LimitOutcome.DRAWS_NOISE


def test_below_ten_prompts_nothing_is_named() -> None:
    found = find(distances(FALLING, prompts=9))
    assert (found.outcome, found.steps) == (LimitOutcome.FEW_PROMPTS, None)


def test_images_that_are_equal_to_the_limit_are_at_it() -> None:
    found = find(distances({10: 0.2, 20: 0.0, 100: 0.0}))
    assert found.steps == 20


def test_where_few_prompts_are_off_all_must_be_near() -> None:
    panel = distances({10: 0.2, 20: 0.0, 100: 0.0})
    panel.values[:4, :, 1] = 0.04
    assert find(panel).steps == 20
    panel.values[0, :, 1] = 0.06
    assert find(panel).steps == 100


def test_the_floor_is_that_of_the_most_steps_up_to_half_of_the_reference() -> None:
    found = find(distances({10: 0.2, 50: 0.01, 150: 0.001}))
    assert (found.outcome, found.steps, found.floor_steps) == ("found", 50, 50)
    assert found.floor is found.at_limit is found.tests[0].distance


def test_without_an_image_of_half_the_steps_there_is_no_floor() -> None:
    found = find(distances({150: 0.01}))
    assert (found.outcome, found.floor_steps) == (LimitOutcome.NO_FLOOR, None)
    assert found.floor is found.at_limit is None


def test_without_two_seeds_of_any_prompt_there_is_no_unit() -> None:
    found = find(distances(FALLING), units={})
    assert (found.outcome, found.steps) == (LimitOutcome.NO_UNIT, None)


def test_delta_is_above_zero() -> None:
    with pytest.raises(UsageError) as caught:
        find(distances(FALLING), delta=0.0)
    assert str(caught.value) == (
        "delta must be above 0, but is 0; give a share of the distance of two seeds, "
        "such as 0.05."
    )
