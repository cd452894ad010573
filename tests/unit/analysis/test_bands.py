"""Bands hold for all their settings at once."""

import math

import numpy as np
import pytest

from analysis.bands import band_differences, band_means, max_t
from analysis.estimates import Reason
from analysis.intervals import estimate
from analysis.panel import average_seeds
from tests.panels import make_panel, noise


def test_a_band_of_one_setting_is_its_interval_made_symmetric() -> None:
    panel = make_panel(noise(15, 3, 2))
    (member,) = band_means(panel, [1]).members
    alone = estimate(average_seeds(panel.of(1))).interval
    assert member.interval is not None
    assert alone is not None
    width = member.interval.high - member.interval.low
    assert member.interval.high - member.summary.mean == pytest.approx(width / 2)
    assert width == pytest.approx(alone.high - alone.low, rel=0.1)


def test_more_settings_make_it_wider_and_copies_do_not() -> None:
    panel = make_panel(noise(15, 3, 30))
    one = band_means(panel, [0]).critical
    many = band_means(panel).critical
    copies = band_means(panel, [0] * 30).critical
    assert one is not None
    assert many is not None
    assert many > one * 1.2
    assert copies == pytest.approx(one)


def test_a_band_is_wider_than_a_bonferroni_never() -> None:
    values = noise(40, 10)
    single = [max_t(values[:, [k]], level=1 - 0.05 / 10, seed=0) for k in range(10)]
    assert max_t(values, level=0.95, seed=0) <= max(single)


def test_differences_to_a_reference_leave_it_out() -> None:
    panel = make_panel(noise(12, 2, 3), ["a", "b", "c"])
    bands = band_differences(panel, reference="b")
    assert [one.setting for one in bands.members] == ["a", "c"]
    assert (bands.reference, bands.metric, bands.level) == ("b", "clip", 0.95)
    expected = (panel.of("a") - panel.of("b")).mean()
    assert bands.members[0].summary.mean == pytest.approx(expected)
    assert (bands.members[0].n_images, bands.n_seeds) == (24, 2)
    assert band_means(panel).reference is None


def test_the_order_asked_for_is_kept() -> None:
    panel = make_panel(noise(12, 2, 3), [30, 10, 20])
    members = band_means(panel, [10, 20, 30]).members
    assert [one.setting for one in members] == [10, 20, 30]
    differences = band_differences(panel, [30, 20], reference=10)
    assert [one.setting for one in differences.members] == [30, 20]


def test_settings_that_cannot_have_an_interval_do_not_spoil_the_others() -> None:
    values = noise(12, 1, 4)
    values[:, :, 1] = 7.0
    values[:5, :, 2] = math.nan
    bands = band_means(make_panel(values))
    reasons = [one.summary.reason for one in bands.members]
    assert reasons == [None, Reason.NO_SPREAD, Reason.FEW_PROMPTS, None]
    assert [one.interval is None for one in bands.members] == [False, True, True, False]
    assert bands.critical == band_means(make_panel(values), [0, 3]).critical


def test_too_few_prompts_have_no_band() -> None:
    bands = band_means(make_panel(noise(9, 2, 2)))
    assert bands.critical is None
    assert [one.interval for one in bands.members] == [None, None]


def test_settings_may_lack_different_prompts() -> None:
    values = noise(15, 1, 2)
    values[0, :, 0] = values[14, :, 1] = math.nan
    bands = band_means(make_panel(values))
    assert [one.summary.n_prompts for one in bands.members] == [14, 14]
    assert [one.n_images for one in bands.members] == [14, 14]
    assert [one.summary.mean for one in bands.members] == pytest.approx(
        np.nanmean(values, axis=(0, 1)).tolist()
    )
    assert all(one.interval is not None for one in bands.members)
