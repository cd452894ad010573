"""From how many steps on each setting is at its own limit."""

import pytest

from analysis.limits import find_limits
from analysis.step_limit import LimitOutcome
from tests.unit.analysis.measured import (
    FALLING,
    UNIT,
    make_series,
    measure,
    pair_seeds,
)

DDIM, UNIPC, EULER_A = map(make_series, ("ddim", "unipc", "euler_a"))


def test_each_series_has_a_limit_of_its_own() -> None:
    fast = {**FALLING, 10: 0.02}
    found = find_limits(
        [*measure(FALLING, DDIM), *measure(fast, UNIPC)],
        [*pair_seeds(DDIM), *pair_seeds(UNIPC)],
        metric="rmse",
        noisy=[EULER_A],
    )
    assert [(one.series, one.limit.steps) for one in found.series] == [
        (UNIPC, 10),
        (DDIM, 20),
        (EULER_A, None),
    ]
    assert found.series[2].limit.outcome is LimitOutcome.DRAWS_NOISE
    assert (found.metric, found.delta) == ("rmse", 0.05)
    assert (len(found.series[0].rows), found.series[0].n_prompts) == (120, 12)


def test_the_unit_is_the_median_over_a_prompts_pairs_and_then_over_prompts() -> None:
    pairs = dict.fromkeys((key for key, _ in pair_seeds(DDIM, seeds=4)), UNIT)
    for number in range(12):
        pairs[f"ddim-{number}-1"] = 10.0  # one far seed moves no median of three
    rows = measure(FALLING, DDIM, seeds=4)
    (one,) = find_limits(rows, pairs.items(), metric="rmse").series
    assert one.unit == UNIT
    assert one.limit.steps == 20


def test_the_curve_is_told_in_units_the_fewest_steps_first() -> None:
    (one,) = find_limits(measure(FALLING, DDIM), pair_seeds(DDIM), metric="rmse").series
    assert one.curve is not None
    assert [each.setting for each in one.curve.members] == [5, 10, 20, 50, 100]
    means = [each.summary.mean for each in one.curve.members]
    assert means == pytest.approx([*FALLING.values()], rel=0.1)


def test_with_one_seed_of_each_prompt_no_limit_is_named() -> None:
    (one,) = find_limits(measure(FALLING, DDIM, seeds=1), [], metric="rmse").series
    assert one.limit.outcome is LimitOutcome.NO_UNIT
    assert (one.unit, one.curve) == (None, None)


def test_what_counts_as_no_distance_can_be_asked() -> None:
    (one,) = find_limits(
        measure(FALLING, DDIM), pair_seeds(DDIM), metric="rmse", delta=0.3
    ).series
    assert one.limit.steps == 10


def test_of_two_references_of_a_series_the_longer_counts() -> None:
    short = measure({10: 0.0, 25: 0.0}, DDIM, prompts=3, reference=50)
    (one,) = find_limits(
        [*short, *measure(FALLING, DDIM)], pair_seeds(DDIM), metric="rmse"
    ).series
    assert (one.limit.reference, one.limit.steps, len(one.rows)) == (200, 20, 120)
