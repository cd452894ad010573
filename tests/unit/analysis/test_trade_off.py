from typing import Any

import numpy as np
import pytest

from analysis.margins import given_margin
from analysis.noninferiority import Outcome
from analysis.trade_off import read_panel, weigh
from storage.errors import UsageError
from tests.unit.analysis.test_settings import ROW
from tests.unit.analysis.trade_offs import costs_of, make_panel, make_setting

SCORES = {
    ("ddim", 4): 0.5,
    ("unipc", 12): 0.7,
    ("ddim", 40): 0.7005,
    ("heun", 60): 0.6,
}


def test_the_cheapest_setting_as_good_as_the_best_is_the_answer() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    found = weigh(panel, costs_of(panel))

    assert found.reference == make_setting("ddim", 40)
    assert found.cheapest is not None
    assert found.cheapest.setting == make_setting("unipc", 12)


def test_settings_come_with_their_verdicts_the_cheapest_first() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    found = weigh(panel, costs_of(panel))

    assert [(one.cost, one.outcome) for one in found.settings] == [
        (4, Outcome.WORSE),
        (12, Outcome.AS_GOOD),
        (40, None),
        (60, Outcome.WORSE),
    ]


def test_nothing_is_as_good_where_images_differ_too_much_to_tell() -> None:
    panel = make_panel(SCORES, own_spread=0.05)

    best, margin = make_setting("ddim", 40), given_margin(0.001)

    found = weigh(panel, costs_of(panel), reference=best, margin=margin)

    assert found.cheapest is None
    verdicts = {one.setting: one.outcome for one in found.settings}
    assert verdicts[make_setting("unipc", 12)] is Outcome.NOT_DECIDED


def test_a_gain_is_positive_where_a_lower_score_is_better() -> None:
    panel = make_panel(
        {("ddim", 4): 0.3, ("ddim", 40): 0.1}, own_spread=0.002, higher_is_better=False
    )

    found = weigh(panel, costs_of(panel), reference=make_setting("ddim", 4))

    better = found.settings[1]
    assert better.gain == pytest.approx(0.2, abs=0.01)
    assert better.bounds is not None
    assert 0.18 < better.bounds.low < better.bounds.high < 0.22


def test_people_may_choose_the_reference() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    found = weigh(panel, costs_of(panel), reference=make_setting("heun", 60))

    assert found.is_chosen
    assert found.best.cost == 60
    assert found.cheapest is not None
    assert found.cheapest.setting == make_setting("unipc", 12)


def test_with_few_prompts_there_are_no_bands_and_no_verdicts() -> None:
    panel = make_panel(SCORES, prompts=9, own_spread=0.002)

    found = weigh(panel, costs_of(panel))

    assert {one.bounds for one in found.settings} == {None}
    assert {one.outcome for one in found.settings} == {Outcome.NOT_DECIDED, None}


def test_a_setting_with_the_very_same_scores_is_as_good() -> None:
    panel = make_panel({("ddim", 40): 0.7, ("unipc", 12): 0.7})

    found = weigh(panel, costs_of(panel), reference=make_setting("ddim", 40))

    assert found.cheapest is not None
    assert found.cheapest.outcome is Outcome.AS_GOOD


def test_of_equally_good_settings_the_cheapest_is_the_best() -> None:
    panel = make_panel(
        {("heun", 60): 1.0, ("ddim", 8): 1.0, ("ddim", 4): 0.5}, spread=0
    )

    found = weigh(panel, costs_of(panel))

    assert found.reference == make_setting("ddim", 8)
    assert found.margin is None
    assert {one.setting.steps: one.outcome for one in found.settings} == {
        4: Outcome.WORSE,
        8: None,
        60: Outcome.AS_GOOD,
    }


def test_one_lucky_image_makes_no_setting_the_best() -> None:
    panel = make_panel({**SCORES, ("euler", 50): 0.9}, own_spread=0.002)
    panel.values[1:, :, 4] = np.nan

    found = weigh(panel, costs_of(panel))

    assert found.reference == make_setting("ddim", 40)


def test_a_setting_without_a_pair_has_no_gain() -> None:
    panel = make_panel(SCORES, own_spread=0.002)
    panel.values[:, :2, 0] = np.nan
    panel.values[:, 2:, 2] = np.nan

    found = weigh(panel, costs_of(panel), reference=make_setting("ddim", 40))

    alone = found.settings[0]
    assert (alone.gain, alone.bounds, alone.outcome) == (
        None,
        None,
        Outcome.NOT_DECIDED,
    )


def test_where_few_prompts_differ_all_of_them_must_agree() -> None:
    panel = make_panel({("ddim", 8): 1.0, ("ddim", 4): 1.0}, spread=0)
    panel.values[0, :, 1] = 0.0

    found = weigh(panel, costs_of(panel), margin=given_margin(0.1))

    one = found.settings[0]
    assert one.gain == pytest.approx(-1 / 20)
    assert one.bounds is not None
    assert (one.bounds.low, one.bounds.high) == (-1.0, 0.0)
    assert one.outcome is Outcome.NOT_DECIDED


def test_a_setting_of_unknown_cost_is_never_the_answer() -> None:
    panel = make_panel(SCORES, own_spread=0.002)
    costs = {**costs_of(panel), make_setting("unipc", 12): None}

    found = weigh(panel, costs)

    assert found.cheapest is None
    assert found.settings[-1].setting == make_setting("unipc", 12)


def test_one_setting_is_no_comparison() -> None:
    panel = make_panel({("ddim", 40): 0.7})

    with pytest.raises(UsageError) as refused:
        weigh(panel, costs_of(panel))

    assert str(refused.value) == (
        "a comparison must have two settings with a score by clip, got ddim at 40 "
        "steps; widen the query, or compare --by other columns."
    )


def test_the_margin_is_of_seeds_that_differ_in_nothing_else() -> None:
    rows = [
        {
            **ROW,
            "prompt": f"prompt {n}",
            "scheduler": scheduler,
            "steps": steps,
            "seed": seed,
            "score": steps / 10 + seed / 100 + n / 1000,
        }
        for n in range(10)
        for scheduler in ("ddim", "unipc")
        for steps in (2, 8)
        for seed in (0, 1)
    ]
    panel = read_panel(rows, by=("scheduler",), metric="clip", higher_is_better=True)

    found = weigh(panel, dict.fromkeys(panel.settings, 1.0))

    assert found.margin is not None
    assert found.margin.seed_deviation == pytest.approx(0.01 / 2**0.5)


def test_rows_pair_up_by_prompt_seed_and_all_that_is_not_compared() -> None:
    rows: list[dict[str, Any]] = [
        {**ROW, "steps": steps, "guidance": guidance, "score": score}
        for steps, guidance, score in [(4, 2.5, 0.1), (20, 2.5, 0.2), (20, 7.0, None)]
    ]

    panel = read_panel(rows, by=("steps",), metric="clip", higher_is_better=True)

    assert panel.prompts == ("a red circle",)
    assert panel.values.shape == (1, 1, 2)
    assert np.allclose(panel.values, [[[0.1, 0.2]]])
