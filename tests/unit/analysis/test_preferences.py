"""Votes become preferences, and what they cannot say is said."""

from itertools import combinations

import numpy as np
import pytest

from analysis.preferences import Ranking, Unit, rank_values, say_limits
from storage.ratings.voting import Vote


def make_votes(*given: str, prompts: int = 12, seeds: int = 1) -> list[Vote]:
    """Make the votes "cat>dog" or "cat=dog" on each seed of each prompt."""
    votes = []
    for prompt in range(prompts):
        for seed in range(seeds):
            for text in given:
                sign = ">" if ">" in text else "="
                a, b = text.split(sign)
                block, winner = (prompt, seed), "a" if sign == ">" else "tie"
                of = {"who": "ada", "block": block, "prompt": prompt}
                votes.append(Vote(a=a, b=b, winner=winner, **of))
    return votes


def preferences(ranking: Ranking) -> dict[str, float]:
    return {one.label: one.preference for one in ranking.values}


def test_the_preference_of_one_of_two_is_the_share_of_its_wins() -> None:
    (found,) = rank_values(make_votes("heun>ddim", "heun>ddim", "heun=ddim"))
    assert preferences(found) == pytest.approx({"heun": 5 / 6, "ddim": 1 / 6}, abs=3e-3)
    assert [one.votes for one in found.values] == [36, 36]
    assert (found.votes, found.unit, found.n_units) == (36, Unit.PROMPT, 12)


def test_it_does_not_matter_which_image_is_shown_first() -> None:
    votes = make_votes("a>b", "b>c", "b=a", "c>a", "a>c")
    turned = [
        Vote(
            who=one.who,
            a=one.b,
            b=one.a,
            winner={"a": "b", "b": "a"}.get(one.winner, one.winner),
            block=one.block,
            prompt=one.prompt,
        )
        for one in reversed(votes)
    ]
    (found,), (other,) = rank_values(votes), rank_values(turned)
    assert preferences(found) == pytest.approx(preferences(other))


def test_values_that_nobody_compared_are_ranked_through_others() -> None:
    votes = make_votes("a>b", "a>b", "b>a", "b>c", "b>c", "c>b", prompts=40)
    (found,) = rank_values(votes)
    # Twice as many wins each time: strengths of log 2, 0 and -log 2.
    over = np.log(2) * 1.5
    expected = {"a": 1 / (1 + np.exp(-over)), "b": 0.5, "c": 1 / (1 + np.exp(over))}
    assert preferences(found) == pytest.approx(expected, abs=3e-3)


def test_a_value_that_never_lost_has_a_preference_below_1() -> None:
    (found,) = rank_values(make_votes("a>b", "a>c", "b=c", prompts=100))
    first, *others = found.values
    assert first.label == "a"
    assert 0.95 < first.preference < 1
    assert first.interval is not None
    assert 0.9 < first.interval.low < first.preference < first.interval.high < 1
    assert [one.preference for one in others] == pytest.approx([0.1, 0.1], abs=0.1)


def test_an_interval_is_wider_where_prompts_disagree() -> None:
    agree = make_votes("a>b", "b>a", "a>b", prompts=18)
    disagree = [
        *make_votes("a>b", "a>b", "a>b", prompts=12),
        *[
            Vote(who="ada", a="b", b="a", winner="a", block=prompt, prompt=prompt)
            for prompt in range(12, 18)
            for _ in range(3)
        ],
    ]
    (one,), (other,) = rank_values(agree), rank_values(disagree)
    assert preferences(one) == pytest.approx(preferences(other))
    widths = [
        each.values[0].interval.high - each.values[0].interval.low
        for each in (one, other)
    ]
    assert widths[1] > 1.5 * widths[0]


def test_groups_that_no_votes_connect_are_said_and_ranked_apart() -> None:
    votes = [*make_votes("a>b"), *make_votes("c>d", "c>d"), *make_votes("e>d")]
    rankings = rank_values(votes)
    assert [str(one) for one in rankings] == ["c, e, d", "a, b"]
    assert preferences(rankings[1])["a"] > 0.9
    assert say_limits(rankings) == [
        "No votes connect these groups, so each is ranked by itself: c, e, d; a, b."
    ]
    joined = rank_values([*votes, *make_votes("b>c", prompts=1)])
    assert len(joined) == 1
    assert say_limits(joined) == []


def test_below_10_prompts_the_images_are_the_unit_and_that_is_said() -> None:
    rankings = rank_values(make_votes("a>b", prompts=9, seeds=2))
    (found,) = rankings
    assert (found.unit, found.n_units) == (Unit.IMAGES, 18)
    assert found.values[0].interval is not None
    assert say_limits(rankings) == [
        "The intervals are about these prompts only, since fewer than 10 prompts have "
        "votes."
    ]


def test_prompts_that_are_compared_themselves_are_no_unit() -> None:
    votes = [
        Vote(who="ada", a=a, b=b, winner="a", block=seed, prompt=None)
        for seed in range(11)
        for a, b in combinations(("cat", "dog", "fox"), 2)
    ]
    (found,) = rank_values(votes)
    assert (found.unit, found.n_units) == (Unit.IMAGES, 11)
    assert [one.label for one in found.values] == ["cat", "dog", "fox"]


def test_few_votes_have_no_interval() -> None:
    rankings = rank_values(make_votes("a>b", prompts=1))
    assert [one.interval for one in rankings[0].values] == [None, None]
    assert say_limits(rankings) == [
        "The preferences have no interval: it needs votes on 10 sets of images, and "
        "there are votes on 1."
    ]


def test_without_votes_there_is_nothing() -> None:
    assert rank_values([]) == []
    assert say_limits([]) == []
