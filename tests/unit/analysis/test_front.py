"""The front of cost and score."""

import math

import numpy as np
import pytest

from analysis.front import Exclusion, find_front
from tests.panels import make_panel, noise

NAN = math.nan


def clear(scores: list[float], prompts: int = 12, seeds: int = 2, **how):
    """A panel in which settings differ by exactly these scores."""
    return make_panel(noise(prompts, seeds, 1) + np.array(scores), **how)


def on_front(front) -> list:
    return [one.setting for one in front.members if one.is_on_front]


def test_settings_that_no_other_beats_are_on_the_front() -> None:
    panel = clear([1.0, 3.0, 2.0, 3.5])
    front = find_front(panel, {0: 1, 1: 2, 2: 3, 3: 4})
    assert on_front(front) == [0, 1, 3]
    assert [one.share for one in front.members] == [1, 1, 0, 1]


def test_where_lower_is_better_the_front_turns_over() -> None:
    panel = clear([1.0, 3.0, 2.0, 0.5], higher_is_better=False)
    front = find_front(panel, {0: 1, 1: 2, 2: 3, 3: 4})
    assert on_front(front) == [0, 3]
    assert front.members[1].score == pytest.approx(panel.of(1).mean())


def test_members_come_by_cost() -> None:
    front = find_front(clear([3.0, 2.0, 1.0]), {0: 9.0, 1: 5.0, 2: 7.0})
    assert [(one.setting, one.cost) for one in front.members] == [
        (1, 5.0),
        (2, 7.0),
        (0, 9.0),
    ]


def test_at_the_same_cost_only_the_best_stays() -> None:
    front = find_front(clear([1.0, 2.0, 2.5]), {0: 5, 1: 5, 2: 6})
    assert on_front(front) == [1, 2]


def test_equal_settings_share_the_front_only_at_the_same_cost() -> None:
    same_cost = find_front(clear([1.0, 1.0]), {0: 5, 1: 5})
    assert [one.share for one in same_cost.members] == [1, 1]
    other_cost = find_front(clear([1.0, 1.0]), {0: 5, 1: 6})
    assert [one.share for one in other_cost.members] == [1, 0]


def test_equal_columns_tie_however_they_are_summed() -> None:
    values = np.repeat(noise(25, 4, 1), 97, axis=2)
    front = find_front(make_panel(values), dict.fromkeys(range(97), 1.0))
    assert {one.share for one in front.members} == {1.0}


def test_shares_are_those_of_a_plain_loop() -> None:
    values, costs = noise(12, 3, 5), [1, 2, 2, 3, 4]
    panel = make_panel(values)
    front = find_front(panel, dict(enumerate(costs)), resamples=4000)
    generator, hits = np.random.default_rng(5), np.zeros(5)
    for _ in range(4000):
        means = values[generator.integers(12, size=12)].mean(axis=(0, 1))
        for k in range(5):
            hits[k] += not any(
                (costs[j] <= costs[k] and means[j] > means[k])
                or (costs[j] < costs[k] and means[j] >= means[k])
                for j in range(5)
            )
    shares = {one.setting: one.share for one in front.members}
    for k in range(5):
        assert shares[k] == pytest.approx(hits[k] / 4000, abs=0.04)


def test_a_shift_of_prompts_that_all_settings_share_changes_nothing() -> None:
    values = noise(12, 3, 5)
    costs = dict(enumerate([1, 2, 2, 3, 4]))
    shifted = values + 100 * noise(12, 1, 1, seed=2)
    plain, moved = (find_front(make_panel(v), costs) for v in (values, shifted))
    assert [one.share for one in plain.members] == [one.share for one in moved.members]


def test_only_images_that_all_members_have_count() -> None:
    values = noise(12, 2, 3)
    values[0, :, 0] = NAN  # a whole prompt
    values[1, 0, 1] = NAN  # one seed
    front = find_front(make_panel(values), {0: 1, 1: 2, 2: 3})
    assert (front.n_prompts, front.n_seeds, front.n_images) == (11, 2, 21)
    assert front.n_dropped == 2 + 2 + 1 + 1
    values[0] = values[1, 0] = NAN
    by_prompt = np.nanmean(values[1:], axis=1)
    scores = [one.score for one in front.members]
    assert scores == pytest.approx(by_prompt.mean(axis=0).tolist())


def test_a_setting_with_few_images_takes_no_part() -> None:
    values = noise(12, 2, 3)
    values[:7, :, 1] = NAN
    front = find_front(make_panel(values), {0: 1, 1: 2, 2: 3})
    assert front.excluded == {1: Exclusion.FEW_IMAGES}
    assert [one.setting for one in front.members] == [0, 2]
    assert (front.n_images, front.n_dropped) == (24, 0)


def test_a_setting_without_a_cost_takes_no_part() -> None:
    front = find_front(make_panel(noise(12, 2, 4)), {0: 1.0, 1: None, 2: NAN})
    assert front.excluded == dict.fromkeys((1, 2, 3), Exclusion.NO_COST)
    assert on_front(front) == [0]


def test_below_ten_prompts_there_are_no_shares() -> None:
    front = find_front(clear([1.0, 2.0], prompts=9), {0: 1, 1: 2})
    assert on_front(front) == [0, 1]
    assert [one.share for one in front.members] == [None, None]


def test_without_any_common_image_there_is_no_front() -> None:
    values = noise(12, 2, 2)
    values[:6, :, 0] = values[6:, :, 1] = NAN
    front = find_front(make_panel(values), {0: 1, 1: 2})
    assert (front.n_prompts, front.n_images, front.n_dropped) == (0, 0, 24)
    assert on_front(front) == []


def test_nobody_takes_part_without_costs() -> None:
    front = find_front(make_panel(noise(12, 2, 2)), {})
    assert (front.members, front.n_prompts, front.n_images) == ((), 0, 0)


def test_the_same_seed_gives_the_same_shares() -> None:
    panel, costs = make_panel(noise(12, 2, 3)), {0: 1, 1: 2, 2: 3}
    assert find_front(panel, costs) == find_front(panel, costs)
    assert find_front(panel, costs) != find_front(panel, costs, seed=1)
