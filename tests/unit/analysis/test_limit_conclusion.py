"""What limits show, in sentences."""

from analysis.limit_conclusion import conclude_limits
from analysis.limits import find_limits
from tests.unit.analysis.measured import FALLING, make_series, measure, pair_seeds

DDIM, UNIPC, HEUN, EULER, EULER_A = map(
    make_series, ("ddim", "unipc", "heun", "euler", "euler_a")
)


def test_limits_come_first_the_earliest_at_the_beginning() -> None:
    fast = dict.fromkeys(FALLING, 0.01)
    found = find_limits(
        [
            *measure(FALLING, DDIM),
            *measure(fast, UNIPC),
            *measure(FALLING, HEUN),
            *measure({**FALLING, 100: 0.06}, EULER),
        ],
        [pair for one in (DDIM, UNIPC, HEUN, EULER) for pair in pair_seeds(one)],
        metric="rmse",
        noisy=[EULER_A],
    )
    assert conclude_limits(found) == [
        "By rmse, images are at their limit from 5 steps or fewer on with unipc; from "
        "20 steps on with ddim and heun.",
        "euler did not converge by 100 steps: these images are not shown to be near "
        "those of 200 steps.",
        "There is no limit with euler_a: noise is drawn at each step, so more steps "
        "make another image.",
        "At the limit means: from there on, at every number of steps up to 100, the "
        "mean distance to the image of 200 steps is shown to be below 5% of the "
        "distance between two seeds of one prompt, with 95% for each setting.",
        "Two seeds are 0.2 apart, the median over prompts. The floor, the distance of "
        "100 from 200 steps, is 0.2 to 6% of that; nothing below it is told apart.",
        "It rests on 480 distances: 12 prompts with up to 2 seeds each; it speaks of "
        "prompts like these, for the given seeds. Each setting has a limit of its own, "
        "and to reach it early is not to make the better picture.",
    ]


def test_below_ten_prompts_nothing_is_named_and_it_says_why() -> None:
    rows, pairs = measure(FALLING, DDIM, prompts=9), pair_seeds(DDIM, prompts=9)
    said = conclude_limits(find_limits(rows, pairs, metric="ssim"))
    assert said[:2] == [
        "By ssim, no limit can be named.",
        "No limit is named with ddim: 9 prompts are too few, 10 are needed; with "
        "fewer, no interval keeps its promise.",
    ]


def test_with_one_seed_it_says_what_to_do() -> None:
    rows = measure(FALLING, DDIM, seeds=1)
    said = conclude_limits(find_limits(rows, [], metric="rmse"))
    assert said == [
        "By rmse, no limit can be named.",
        "No limit is named with ddim: nothing says how far two seeds of a prompt are "
        "apart, which is the unit; make images of two seeds or more, and ask "
        "`nightsweep score QUERY --metric rmse`.",
        "It rests on 60 distances: 12 prompts with one seed each; it speaks of "
        "prompts like these, for the given seeds. Each setting has a limit of its own, "
        "and to reach it early is not to make the better picture.",
    ]


def test_what_has_no_distance_yet_is_named_with_the_command() -> None:
    rows = measure({150: 0.01}, DDIM)
    said = conclude_limits(
        find_limits(rows, pair_seeds(DDIM), metric="rmse", unscored=[UNIPC])
    )
    assert said[1:3] == [
        "No limit is named with ddim: no image of at most half of the reference's "
        "steps has a distance yet; ask `nightsweep score QUERY --metric rmse`.",
        "unipc has no distance yet; ask `nightsweep score QUERY --metric rmse`.",
    ]


def test_where_nothing_converges_it_says_so() -> None:
    rows = measure({10: 0.2, 100: 0.08}, DDIM)
    said = conclude_limits(find_limits(rows, pair_seeds(DDIM), metric="rmse"))
    assert said[0] == "By rmse, no images are shown to be at their limit."
