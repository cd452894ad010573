"""Ratings: what people say of images stays, whoever else says something."""

import threading

import pytest

from storage.errors import UsageError
from storage.ratings.rating import rate, read_ratings
from storage.sql.database import Database, open_database
from tests.builders import job_rows, plan_seeds, submit, take
from tests.unit.storage.ratings.images import finish

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def keys(database: Database) -> list[str]:
    submit(database, plan_seeds(1, 2, 3))
    finish(database)
    return [row.key for row in job_rows(database)]


def said(database: Database, key: str) -> list[tuple[object, ...]]:
    """Return who said what of an image."""
    rows = read_ratings(database, [key]).get(key, [])
    return [(row["who"], row["stars"], row["verdict"]) for row in rows]


def test_stars_and_verdict_are_given_apart_and_stay(database, keys) -> None:
    assert rate(database, keys[:2], who="ada", stars=4) == 2
    assert rate(database, keys[:1], who="ada", verdict="accepted") == 1
    assert said(database, keys[0]) == [("ada", 4, "accepted")]
    assert said(database, keys[1]) == [("ada", 4, None)]
    assert said(database, keys[2]) == []


def test_only_what_changes_is_counted_and_gets_a_new_time(database, keys) -> None:
    rate(database, keys[:1], who="ada", stars=4)
    before = read_ratings(database, keys)
    assert rate(database, keys[:2], who="ada", stars=4) == 1
    assert read_ratings(database, keys)[keys[0]] == before[keys[0]]
    assert rate(database, keys[:1], who="ada") == 0
    assert rate(database, [], who="ada", stars=4) == 0


def test_what_is_taken_back_leaves_no_row(database, keys) -> None:
    rate(database, keys[:2], who="ada", stars=4, verdict="rejected")
    assert rate(database, keys, who="ada", stars=0) == 2
    assert said(database, keys[0]) == [("ada", None, "rejected")]
    assert rate(database, keys, who="ada", stars=0) == 0
    assert rate(database, keys[:1], who="ada", verdict="none") == 1
    assert rate(database, keys[1:2], who="ada", stars=2, verdict="none") == 1
    assert [said(database, key) for key in keys] == [[], [("ada", 2, None)], []]


def test_nobody_changes_what_another_person_says(database, keys) -> None:
    rate(database, keys[:1], who="grace", stars=5)
    rate(database, keys[:1], who="ada", stars=1)
    rate(database, keys[:1], who="ada", stars=0)
    assert said(database, keys[0]) == [("grace", 5, None)]


def test_two_people_who_rate_at_once_lose_nothing(database, keys) -> None:
    def rate_often(who: str, order: list[str]) -> None:
        own = open_database(database.engine.url.render_as_string(hide_password=False))
        for stars in (1, 2, 3, 4, 5):
            rate(own, order, who=who, stars=stars)
        own.close()

    threads = [
        threading.Thread(target=rate_often, args=(who, order))
        for who, order in (("ada", keys), ("grace", keys[::-1]), ("ada", keys[::-1]))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {*map(tuple, (said(database, key) for key in keys))} == {
        (("ada", 5, None), ("grace", 5, None))
    }


def test_more_images_than_one_statement_names_are_rated(
    database, keys, monkeypatch
) -> None:
    monkeypatch.setattr("storage.sql.value_pages.PAGE", 2)
    assert rate(database, [*keys, keys[0]], who="ada", stars=3) == 3
    assert sorted(read_ratings(database, keys)) == sorted(keys)
    assert rate(database, keys, who="ada", stars=0) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stars": 6}, r"^stars must be 1 to 5, or 0 to take them back, got 6\.$"),
        ({"stars": -1}, r"got -1\.$"),
        (
            {"verdict": "great"},
            r"^verdict must be one of accepted, rejected, or none to take it back, "
            r"got 'great'\.$",
        ),
    ],
)
def test_what_nobody_can_give_is_refused(database, keys, given, message) -> None:
    with pytest.raises(UsageError, match=message):
        rate(database, keys, who="ada", **given)


def test_an_image_that_is_not_made_cannot_be_rated(database, keys) -> None:
    submit(database, plan_seeds(1, 2, 3, 4))
    (*_, unmade) = [row.key for row in job_rows(database)]
    with pytest.raises(UsageError, match=rf"1 of 4 are not, such as {unmade}; leave"):
        rate(database, [*keys, unmade], who="ada", stars=4)
    assert read_ratings(database, keys) == {}
    assert rate(database, [unmade], who="ada", stars=0) == 0
    assert take(database)
