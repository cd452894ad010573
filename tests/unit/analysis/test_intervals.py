"""Intervals of means over prompts, against scipy's and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.estimates import USUAL, Interval, Procedure, Reason, summarize
from analysis.intervals import estimate
from analysis.resampling import resample_t
from tests.panels import noise

STUDENT = Procedure(method="t")


def test_student_is_that_of_scipy() -> None:
    values = noise(20) + 0.3
    found, known = estimate(values, STUDENT), stats.ttest_1samp(values, 0.0)
    interval = known.confidence_interval(0.95)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(interval.low)
    assert found.interval.high == pytest.approx(interval.high)
    assert found.p_value == pytest.approx(known.pvalue)


def test_the_bootstrap_of_normal_values_is_near_student() -> None:
    values = noise(200)
    resampled, student = estimate(values), estimate(values, STUDENT)
    assert resampled.interval is not None
    assert student.interval is not None
    assert resampled.interval.low == pytest.approx(student.interval.low, abs=0.01)
    assert resampled.interval.high == pytest.approx(student.interval.high, abs=0.01)
    assert resampled.p_value == pytest.approx(student.p_value, abs=0.02)


def interval_of(values: np.ndarray, procedure: Procedure = USUAL) -> Interval:
    interval = estimate(values, procedure).interval
    assert interval is not None
    return interval


def test_the_bootstrap_reaches_further_on_the_side_of_the_long_tail() -> None:
    values = np.exp(noise(20))
    found, student = interval_of(values), interval_of(values, STUDENT)
    assert found.high > student.high
    assert found.low > student.low


def test_the_unit_of_the_metric_does_not_matter() -> None:
    values = np.exp(noise(20))
    small = interval_of(values)
    assert interval_of(values * 1e9).high == pytest.approx(small.high * 1e9)
    assert interval_of(values + 1e6).high == pytest.approx(small.high + 1e6)
    turned = interval_of(-values)
    assert (turned.low, turned.high) == pytest.approx((-small.high, -small.low))


def test_a_p_value_is_the_share_of_resamples_that_are_as_far_from_the_mean() -> None:
    values = np.exp(noise(20)) - 1.5
    t = resample_t(values[:, None], seed=0)[:, 0]
    own = values.mean() / (values.std(ddof=1) / 20**0.5)
    share = (np.abs(t) >= abs(own)).mean()
    assert estimate(values).p_value == pytest.approx(share, abs=1e-3)
    assert estimate(-values).p_value == estimate(values).p_value


def test_the_same_seed_resamples_alike_and_another_one_does_not() -> None:
    values = noise(12)
    assert estimate(values) == estimate(values)
    assert estimate(values) != estimate(values, Procedure(seed=1))


def test_a_higher_level_is_wider() -> None:
    values = noise(15)
    for method in ("t", "bootstrap-t"):
        usual = estimate(values, Procedure(method=method)).interval
        sure = estimate(values, Procedure(method=method, level=0.99)).interval
        assert usual is not None
        assert sure is not None
        assert sure.low < usual.low
        assert sure.high > usual.high


def test_missing_prompts_do_not_count() -> None:
    values = noise(12)
    with_gaps = np.append(values, [math.nan, math.nan])
    assert estimate(with_gaps) == estimate(values)


def test_a_mean_far_from_zero_has_the_smallest_p_value() -> None:
    assert estimate(noise(20) + 100).p_value == pytest.approx(1 / 5000)


@pytest.mark.parametrize("method", ["t", "bootstrap-t"])
def test_below_ten_prompts_there_is_no_interval(method) -> None:
    procedure = Procedure(method=method)
    few = estimate(noise(9), procedure)
    assert few.summary.reason is Reason.FEW_PROMPTS
    assert few.summary.n_prompts == 9
    assert (few.interval, few.bounds, few.p_value) == (None, None, None)
    assert estimate(noise(10), procedure).interval is not None


@pytest.mark.parametrize("method", ["t", "bootstrap-t"])
def test_where_few_prompts_differ_the_bounds_are_the_extremes(method) -> None:
    procedure = Procedure(method=method)
    values = np.zeros(20)
    values[:6] = [-1, 1, 2, 3, 4, 5]
    found = estimate(values, procedure)
    assert found.summary.reason is Reason.FEW_DIFFERENT
    assert found.summary.n_alike == 14
    assert (found.interval, found.p_value) == (None, None)
    assert found.bounds == Interval(low=-1, high=5)
    values[6] = 6
    assert estimate(values, procedure).interval is not None


def test_where_all_prompts_agree_the_bounds_are_what_they_say() -> None:
    found = estimate(np.full(12, 0.25))
    assert found.summary.reason is Reason.NO_SPREAD
    assert found.interval is None
    assert found.bounds == Interval(low=0.25, high=0.25)


def test_no_prompt_at_all_is_too_few() -> None:
    summary = summarize(np.full(3, math.nan))
    assert (summary.n_prompts, summary.reason) == (0, Reason.FEW_PROMPTS)
    assert math.isnan(summary.mean)
    assert math.isnan(summary.sd)
    assert math.isnan(summary.standard_error)
