"""The statistics hold on simulated sweeps whose truth is known.

The short form of `benchmarks/simulated_sweeps.py`: few draws, and the same ones each
time, so that a failure is a change of the statistics and never chance.
"""

import numpy as np
import pytest

from analysis.noninferiority import Outcome
from tests import statistical_truth as truth
from tests.matrices import shorten
from tests.simulated_votes import VOTINGS
from tests.statistical_truth import Rate

DRAWS = 200
SHAPES = ("normal", "long tails", "skewed")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prompts", [10, 20])
def test_intervals_hold_the_true_difference(shape, prompts) -> None:
    rate = truth.cover_difference(shape, prompts, draws=DRAWS, method="bootstrap-t")
    assert rate.is_near(0.95), rate


@pytest.mark.parametrize("shape", SHAPES)
def test_claims_at_the_margin_are_rarely_wrong(shape) -> None:
    rates = truth.err_at_margin(shape, 10, draws=DRAWS, method="bootstrap-t")
    assert rates[Outcome.AS_GOOD].is_at_most(0.05), rates
    assert rates[Outcome.WORSE].is_at_most(0.05), rates
    assert truth.err_at_default_margin(shape, 10, draws=DRAWS).is_at_most(0.05)


@pytest.mark.parametrize("spread", ["even", "uneven", "very uneven"])
def test_limits_are_rarely_named_too_early(spread) -> None:
    rate = truth.name_limit_too_early(spread, 20, draws=DRAWS, method="bootstrap-t")
    assert rate.is_at_most(0.05), rate


def test_a_unit_that_is_measured_names_no_limit_too_early() -> None:
    rate = truth.name_limit_too_early(
        "uneven", 20, draws=DRAWS, method="bootstrap-t", pairs=1
    )
    assert rate.is_at_most(0.05), rate


def test_a_band_holds_the_whole_truth() -> None:
    rate = truth.cover_curve("normal", 20, draws=DRAWS)
    assert rate.is_near(0.95), rate


def test_equal_pairs_are_rarely_told_apart() -> None:
    rate = truth.reject_equal_pairs("normal", 20, draws=DRAWS, method="bootstrap-t")
    assert rate.is_at_most(0.05), rate


def test_a_setting_that_is_nearly_always_on_the_front_truly_is() -> None:
    rates = truth.judge_front("normal", 20, draws=DRAWS)
    assert rates["above 95 %"].share > 0.9, rates
    assert rates["below 5 %"].share < 0.4, rates


@pytest.mark.parametrize("voting", shorten(VOTINGS, list(VOTINGS)[:1]))
@pytest.mark.parametrize(("prompts", "votes"), [(10, 4), (20, 8)])
def test_intervals_of_preferences_hold_the_truth(voting, prompts, votes) -> None:
    rate = truth.miss_preference(voting, prompts, votes, draws=DRAWS)
    assert rate.is_at_most(0.05), rate


def test_the_checks_notice_a_method_that_is_wrong() -> None:
    percentiles = truth.cover_by_percentiles("skewed", 10, draws=4 * DRAWS)
    assert not percentiles.is_near(0.95), percentiles
    student = truth.name_limit_too_early("very uneven", 10, draws=2 * DRAWS, method="t")
    assert not student.is_at_most(0.05), student
    alone = truth.miss_preference(
        "prompts differ", 20, 40, draws=DRAWS, is_by_vote=True
    )
    assert not alone.is_at_most(0.05), alone


def test_a_rate_may_be_off_by_its_binomial_bound_and_a_point() -> None:
    slack = 1.96 * np.sqrt(0.95 * 0.05 / 2000) + 0.01
    assert Rate(hits=0, draws=2000).slack(0.95) == pytest.approx(slack)
    assert Rate(hits=1862, draws=2000).is_near(0.95)
    assert not Rate(hits=1860, draws=2000).is_near(0.95)
    assert not Rate(hits=1940, draws=2000).is_near(0.95)
    assert Rate(hits=139, draws=2000).is_at_most(0.05)
    assert not Rate(hits=140, draws=2000).is_at_most(0.05)
