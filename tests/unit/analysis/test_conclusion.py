from analysis.conclusion import Cost, conclude
from analysis.margins import given_margin
from analysis.trade_off import weigh
from tests.unit.analysis.test_trade_off import SCORES
from tests.unit.analysis.trade_offs import costs_of, make_panel, make_setting


def test_the_first_sentence_is_the_answer() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    answer, *_ = conclude(weigh(panel, costs_of(panel)))

    assert answer == (
        "By clip, unipc at 12 steps (12 evaluations) is as good as ddim at 40 steps "
        "(40 evaluations), the best by clip, at 30% of the cost."
    )


def test_the_second_sentence_says_how_sure_it_is() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    margin = given_margin(0.004)

    _, sure, allowed, *_ = conclude(weigh(panel, costs_of(panel), margin=margin))

    assert sure.startswith("Its gain over it is \N{MINUS SIGN}0.000")
    assert sure.endswith("with 95% for all together).")
    assert allowed == "A loss below 0.004 counts as none, as asked."


def test_the_default_margin_is_explained() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    allowed = conclude(weigh(panel, costs_of(panel)))[2]

    assert allowed.startswith("A loss below 0.00")
    assert allowed.endswith(", the standard deviation between seeds of one prompt.")


def test_seconds_name_their_gpu() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    answer, *_ = conclude(
        weigh(panel, costs_of(panel)), Cost(unit="seconds on an H100", form="{:.2f}")
    )

    assert "unipc at 12 steps (12.00 seconds on an H100)" in answer


def test_where_nothing_is_as_good_the_largest_losses_are_named() -> None:
    panel = make_panel(SCORES, own_spread=0.05)

    best, margin = make_setting("ddim", 40), given_margin(0.001)

    said = conclude(weigh(panel, costs_of(panel), reference=best, margin=margin))

    assert said[0].startswith("By clip, no cheaper setting is shown to be as good as ")
    assert said[1].startswith("The cheaper settings lose at most, with 95% for all")
    assert "unipc at 12 steps 0.0" in said[1]


def test_few_prompts_are_said_and_nothing_is_called_as_good() -> None:
    panel = make_panel(SCORES, prompts=9, own_spread=0.002)

    said = conclude(weigh(panel, costs_of(panel)))

    assert said[0] == (
        "By its mean alone, ddim at 40 steps (40 evaluations) is the best by clip; "
        "nothing says how sure that is."
    )
    assert (
        "There are no intervals: 9 prompts are too few, 10 are needed; with fewer, no "
        "interval keeps its promise."
    ) in said


def test_one_seed_leaves_the_margin_unknown() -> None:
    panel = make_panel(SCORES, seeds=1, own_spread=0.002)

    said = conclude(weigh(panel, costs_of(panel)))

    assert said[0].startswith(
        "By clip, no cheaper setting is as good in every prompt as "
    )
    assert (
        "The margin is unknown, since no prompt has two seeds that differ at the "
        "reference: only a setting without any loss counts as good; give one with "
        "--margin."
    ) in said


def test_a_chosen_reference_is_not_called_the_best() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    answer, *_ = conclude(
        weigh(panel, costs_of(panel), reference=make_setting("heun", 60))
    )

    assert "heun at 60 steps (60 evaluations), the chosen reference" in answer


def test_the_front_is_named_with_its_shares() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    *_, front = conclude(weigh(panel, costs_of(panel)))

    assert front.startswith(
        "Nothing is both cheaper and better than: ddim at 4 steps (in 100% of "
        "resamples)"
    )


def test_a_loss_is_a_loss_where_a_lower_score_is_better() -> None:
    panel = make_panel(
        {("ddim", 12): 0.101, ("ddim", 40): 0.1},
        own_spread=0.0005,
        higher_is_better=False,
    )

    sure = conclude(weigh(panel, costs_of(panel), margin=given_margin(0.01)))[1]

    assert sure.startswith("Its gain over it is \N{MINUS SIGN}0.00")


def test_unknown_costs_are_said_and_nothing_is_called_cheaper() -> None:
    panel = make_panel(SCORES, own_spread=0.002)

    answer, *_ = conclude(weigh(panel, {}, reference=make_setting("ddim", 40)))

    assert answer == (
        "By clip, these are shown to be as good as ddim at 40 steps, the chosen "
        "reference: unipc at 12 steps. Its evaluations are not known, so nothing is "
        "called cheaper."
    )


def test_images_without_a_partner_are_counted() -> None:
    panel = make_panel(SCORES, own_spread=0.002)
    panel.values[0, 0, 2] = float("nan")  # of the reference

    said = conclude(weigh(panel, costs_of(panel), reference=make_setting("ddim", 40)))

    assert "3 images have no partner at the reference, so they do not count." in said
