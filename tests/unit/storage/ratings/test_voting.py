"""Votes: two images that differ in one axis, and what a person says of them."""

import itertools
import random

import pytest

from storage.errors import UsageError
from storage.ratings.voting import choose_pair, read_votes, vote
from storage.sql.database import Database
from tests.builders import make_planned, plan_seeds, submit
from tests.unit.storage.ratings.images import finish

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PROMPTS = ("a cat", "a dog")
STEPS = (4, 8, 20)


def plan(prompts=PROMPTS, steps=STEPS, **changes):
    """Plan a sweep of prompts and steps."""
    return [
        make_planned(
            prompt=prompt,
            steps=count,
            position=position,
            cell={"prompt": prompt, "steps": str(count)},
            **changes,
        )
        for position, (prompt, count) in enumerate(itertools.product(prompts, steps))
    ]


@pytest.fixture
def planned(database: Database):
    made = plan()
    submit(database, made, axes={"prompt": PROMPTS, "steps": [*map(str, STEPS)]})
    finish(database)
    return made


def choose(database, query="night", *, by="steps", who="ada", seed=1):
    chance = random.Random(seed)  # noqa: S311 - draws pairs
    return choose_pair(database, query, by=by, who=who, chance=chance)


def vote_on_all(database, *, by="steps", who="ada", query="night"):
    """Vote on every pair; return the pairs in their order."""
    pairs = []
    chance = random.Random(5)  # noqa: S311 - draws pairs
    while pair := choose_pair(database, query, by=by, who=who, chance=chance):
        vote(database, pair.a, pair.b, winner="a", by=by, who=who, query=query)
        pairs.append(pair)
    return pairs


def in_words(planned, pair):
    by_key = {one.job.key: one.job for one in planned}
    return [(job.prompt, job.steps) for job in (by_key[pair.a], by_key[pair.b])]


def test_a_pair_differs_in_the_axis_alone(database, planned) -> None:
    for by, place in (("steps", 0), ("prompt", 1)):
        first, second = in_words(planned, choose(database, by=by))
        assert first[place] == second[place]
        assert first[1 - place] != second[1 - place]


@pytest.mark.parametrize("query", ["night", ""])
def test_every_pair_is_seen_once_and_values_take_turns(
    database, planned, query
) -> None:
    pairs = vote_on_all(database, query=query)
    assert [pair.left for pair in pairs] == [6, 5, 4, 3, 2, 1]
    shown = [frozenset(in_words(planned, pair)) for pair in pairs]
    assert len(set(shown)) == 6
    values = [frozenset(steps for _, steps in each) for each in shown]
    assert len(set(values[:3])) == len(set(values[3:])) == 3
    assert choose(database, query, who="grace").left == 6


def test_the_pair_that_nobody_has_voted_on_comes_first(database, planned) -> None:
    seen = [vote_on_all(database)[0]]
    pair = choose(database, who="grace", seed=8)
    vote(database, pair.a, pair.b, winner="tie", by="steps", who="grace", query="night")
    seen.append(pair)
    other = choose(database, who="linus", seed=8)
    assert {other.a, other.b} != {pair.a, pair.b}


def test_the_same_chance_chooses_the_same_pair_and_another_one_turns_it(
    database, planned
) -> None:
    assert choose(database, seed=3) == choose(database, seed=3)
    sides = {
        (pair.a, pair.b) for seed in range(60) if (pair := choose(database, seed=seed))
    }
    assert len(sides) == 12


def test_a_vote_says_the_labels_and_is_read_with_them(database, planned) -> None:
    four, eight, _ = planned[:3]
    told = vote(
        database,
        eight.job.key,
        four.job.key,
        winner="a",
        by="steps",
        who="ada",
        query="night",
    )
    assert (told.votes, told.a, told.b) == (1, "8", "4")
    for query in ("night", "", "scheduler:ddim prompt:cat"):
        (found,) = read_votes(database, query, by="steps")
        assert (found.who, found.a, found.b, found.winner) == ("ada", "8", "4", "a")
        assert found.prompt is not None
    assert read_votes(database, "night prompt:dog", by="steps") == []
    assert read_votes(database, "night", by="prompt") == []


def test_votes_on_one_prompt_share_it_and_votes_between_prompts_have_none(
    database, planned
) -> None:
    vote_on_all(database)
    vote_on_all(database, by="prompt")
    by_steps = read_votes(database, "night", by="steps")
    assert len(by_steps) == 6
    assert len({one.prompt for one in by_steps}) == 2
    assert len({one.block for one in by_steps}) == 2
    by_prompt = read_votes(database, "night", by="prompt")
    assert [one.prompt for one in by_prompt] == [None] * 3
    assert len({one.block for one in by_prompt}) == 3


def test_choices_of_a_prompt_are_axes_of_their_own(database) -> None:
    template = "a {red|blue} {cat|dog}"
    planned = [
        make_planned(
            prompt=f"a {colour} {animal}",
            position=position,
            template=template,
            cell={
                "prompt": f"a {colour} {animal}",
                "prompt.1": colour,
                "prompt.2": animal,
            },
        )
        for position, (colour, animal) in enumerate(
            itertools.product(("red", "blue"), ("cat", "dog"))
        )
    ]
    submit(database, planned, axes={"prompt": [one.job.prompt for one in planned]})
    finish(database)
    pairs = vote_on_all(database, by="prompt.1")
    assert len(pairs) == 2
    labels = [{one.a, one.b} for one in read_votes(database, "night", by="prompt.1")]
    assert labels == [{"red", "blue"}] * 2
    # Votes on the same pairs, whatever they were asked for.
    assert choose(database, by="prompt").left == 4
    assert choose(database, by="prompt", who="grace").left == 6


def test_images_of_two_revisions_are_no_pair_in_the_sweep(database, planned) -> None:
    other = plan(guidance=3.0)
    submit(database, other, spec="two", axes={"prompt": PROMPTS, "steps": STEPS})
    finish(database)
    assert choose(database).left == 12
    assert choose(database, by="prompt").left == 6
    assert choose(database, "", by="guidance").left == 6


def test_labels_that_mean_one_image_are_one_value(database) -> None:
    planned = [
        make_planned(steps=4, position=0, cell={"scheduler": ["ddim", "also"]}),
        make_planned(steps=8, position=1, cell={"scheduler": "other"}),
        make_planned(steps=9, position=2, cell={}),
    ]
    submit(database, planned, axes={"scheduler": ["ddim", "also", "other"]})
    finish(database)
    assert choose(database, by="scheduler").left == 1
    vote_on_all(database, by="scheduler")
    (found,) = read_votes(database, "night", by="scheduler")
    assert {found.a, found.b} == {"ddim, also", "other"}


def test_only_finished_images_are_shown(database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    with pytest.raises(UsageError, match=r"^a vote must have two finished images that"):
        choose(database, by="seed")
    finish(database, limit=2)
    assert choose(database, "", by="seed").left == 1


def test_of_many_images_some_are_drawn(database, planned, monkeypatch) -> None:
    monkeypatch.setattr("storage.ratings.voting.MOST_IMAGES", 3)
    for query, by in itertools.product(("night", ""), ("steps", "prompt")):
        for seed in range(4):
            pair = choose(database, query, by=by, seed=seed)
            first, second = in_words(planned, pair)
            place = 0 if by == "steps" else 1
            assert first[place] == second[place]


def test_of_many_pairs_some_are_drawn(database, planned, monkeypatch) -> None:
    monkeypatch.setattr("storage.ratings.voting.MOST_PAIRS", 4)
    pair = choose(database)
    assert pair.left == 6
    (_, one), (_, other) = in_words(planned, pair)
    assert one != other


def test_what_is_no_axis_is_refused_with_those_that_are(database, planned) -> None:
    with pytest.raises(
        UsageError, match=r"must be compared by one of prompt, steps, g"
    ):
        choose(database, by="stpes")
    with pytest.raises(UsageError, match="must be compared by one of model, prompt"):
        choose(database, "", by="state")


def test_a_vote_on_what_is_no_pair_is_refused(database, planned) -> None:
    cat, _, _, dog, *_ = (one.job.key for one in planned)
    given = {"by": "steps", "who": "ada"}
    with pytest.raises(UsageError, match="two images of the query that differ in step"):
        vote(database, cat, dog, winner="a", **given)
    with pytest.raises(UsageError, match="two images of the query that differ in step"):
        vote(database, cat, "f" * 32, winner="a", **given)
    with pytest.raises(UsageError, match=r"winner must be one of a, b, tie, got 'c'\."):
        vote(database, cat, dog, winner="c", **given)
    assert read_votes(database, "", by="steps") == []


def test_values_that_differ_only_in_late_digits_are_two(database: Database) -> None:
    guidances = (7.5, 7.5000001)
    made = [
        make_planned(guidance=guidance, position=position, cell={})
        for position, guidance in enumerate(guidances)
    ]
    submit(database, made)
    finish(database)
    pair = choose(database, "", by="guidance")
    assert pair is not None
    voted = vote(database, pair.a, pair.b, winner="a", by="guidance", who="ada")
    assert {voted.a, voted.b} == {"7.5", "7.5000001"}
