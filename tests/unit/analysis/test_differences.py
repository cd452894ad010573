"""Settings are compared on the prompts and seeds that both have."""

import math

import numpy as np
import pytest

from analysis.differences import pair, subtract, subtract_all
from analysis.estimates import Interval, Procedure, Reason
from analysis.holm import adjust
from analysis.intervals import estimate
from storage.errors import UsageError
from tests.panels import make_panel, noise

NAN = math.nan


def test_pairs_are_averaged_within_a_prompt_and_the_rest_is_counted() -> None:
    panel = make_panel(
        [
            [[3.0, 1.0], [5.0, 1.0]],  # 2 and 4
            [[7.0, NAN], [9.0, 4.0]],  # 5, and one without a partner
            [[NAN, 1.0], [NAN, NAN]],  # one without a partner
        ]
    )
    pairs = pair(panel, 0, reference=1)
    np.testing.assert_array_equal(pairs.by_prompt, [3.0, 5.0, NAN])
    assert (pairs.n_pairs, pairs.n_seeds, pairs.n_unpaired) == (3, 2, 2)
    assert pairs.n_equal == 0


def test_what_prompts_and_seeds_share_cancels() -> None:
    values = 0.1 * noise(20, 4, 2)
    shared = 1000 * noise(20, 4, 1, seed=2)
    plain = subtract(make_panel(values), 0, reference=1)
    found = subtract(make_panel(values + shared), 0, reference=1)
    assert found.estimate.interval is not None
    assert plain.estimate.interval is not None
    assert found.estimate.interval.low == pytest.approx(plain.estimate.interval.low)


def test_prompts_are_the_unit_however_many_seeds_they_have() -> None:
    once = noise(12, 1, 2)
    often = np.repeat(once, 5, axis=1)
    one, five = (subtract(make_panel(v), 0, reference=1) for v in (once, often))
    assert one.estimate.interval is not None
    assert five.estimate.interval is not None
    assert five.estimate.interval.low == pytest.approx(one.estimate.interval.low)
    assert (one.n_pairs, five.n_pairs) == (12, 60)
    assert (one.n_seeds, five.n_seeds) == (1, 5)


def test_the_gain_is_positive_where_the_setting_is_better() -> None:
    values = noise(12, 2, 2)
    up = subtract(make_panel(values), 0, reference=1)
    down = subtract(make_panel(values, higher_is_better=False), 0, reference=1)
    assert up.estimate == down.estimate
    assert up.mean_gain == up.estimate.summary.mean
    assert down.mean_gain == -up.mean_gain
    assert up.gain == up.estimate.interval
    assert up.gain is not None
    assert down.gain == Interval(low=-up.gain.high, high=-up.gain.low)


def test_a_difference_says_where_it_comes_from() -> None:
    panel = make_panel(noise(12, 2, 2), ["ddim", "euler"])
    procedure = Procedure(method="t", level=0.9)
    found = subtract(panel, "ddim", reference="euler", procedure=procedure)
    assert (found.metric, found.setting, found.reference) == ("clip", "ddim", "euler")
    assert found.estimate.procedure == procedure
    expected = pair(panel, "ddim", reference="euler").by_prompt
    assert found.estimate == estimate(expected, procedure)
    assert found.adjusted_p_value is None


def test_settings_without_a_pair_have_no_difference() -> None:
    values = noise(12, 2, 2)
    values[:, 0, 0] = values[:, 1, 1] = NAN
    found = subtract(make_panel(values), 0, reference=1)
    assert found.estimate.summary.reason is Reason.FEW_PROMPTS
    assert (found.n_pairs, found.n_unpaired, found.n_seeds) == (0, 48 // 2, 0)
    assert found.gain is None
    assert math.isnan(found.mean_gain)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="but heun has none"):
        subtract(
            make_panel(noise(12, 2, 2), ["ddim", "euler"]), "ddim", reference="heun"
        )


def test_holm_is_that_of_the_paper() -> None:
    # The smallest of three counts three times, the next twice; none falls below it.
    assert adjust([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert adjust([None, 0.02, None]) == [None, 0.02, None]
    assert adjust([]) == []


def test_named_pairs_are_adjusted_together() -> None:
    values = noise(12, 2, 4) + np.array([0.0, 0.4, 0.8, 3.0])
    panel = make_panel(values)
    pairs = [(one, 0) for one in (1, 2, 3)]
    found = subtract_all(panel, pairs)
    alone = [subtract(panel, one, reference=0).estimate for one in (1, 2, 3)]
    assert [one.estimate for one in found] == alone
    assert [one.adjusted_p_value for one in found] == adjust(
        [one.p_value for one in alone]
    )
