"""What people say of images is asked like anything else."""

import pytest

from storage.errors import QueryError
from storage.queries.answers import Wanted, count, find, read_wanted
from storage.queries.groups import group
from storage.queries.sorting import read_columns
from storage.ratings.rating import rate
from storage.sql.database import open_database
from storage.store import Store
from tests.unit.filled_store import filled

pytestmark = pytest.mark.databases("sqlite", "postgresql")

#: Queries, and which of the six finished images they find.
ASKED = {
    "rating:4..": [1],
    "rating:3.5": [0],
    "rating:..3.5": [0],
    "rating:3..4": [0, 1],
    "rating:*": [0, 1],
    "-rating:* state:done": [2, 3, 4, 5],
    "verdict:accepted": [0],
    "verdict:rejected": [0, 4],
    "verdict:accepted,rejected": [0, 4],
    "verdict:*": [0, 4],
    "-verdict:rejected state:done": [1, 2, 3, 5],
    "rated_by:ada": [0, 4],
    "rated_by:ADA,grace": [0, 1, 4],
    "rated_by:g*": [0, 1],
    "rated_by:*": [0, 1, 4],
    "rating:4.. verdict:rejected": [],
    "rated_by:grace steps:20": [1],
    "rated_by:grace -steps:20": [0],
}


@pytest.fixture
def rated(tmp_path, database_url):
    """Rate some images; yield the settings, the keys in order, and the database."""
    settings, planned = filled(tmp_path)
    keys = [one.job.key for one in planned[:6]]
    database = open_database(settings.database_url)
    rate(database, keys[:1], who="grace", stars=2, verdict="rejected")
    rate(database, keys[:1], who="ada", stars=5, verdict="accepted")
    rate(database, keys[1:2], who="grace", stars=4)
    rate(database, keys[4:5], who="ada", verdict="rejected")
    yield settings, keys, database
    database.close()


@pytest.mark.parametrize("sweep", ["", "shapes "])
@pytest.mark.parametrize(("asked", "found"), ASKED.items())
def test_images_are_found_by_what_people_say(rated, sweep, asked, found) -> None:
    _, keys, database = rated
    expected = [keys[number] for number in found]
    asked = sweep + asked
    assert [row["key"] for row in find(database, asked)] == expected
    assert [row["key"] for row in find(database, asked, Wanted(limit=9))] == expected
    assert count(database, asked) == len(expected)


@pytest.mark.parametrize("asked", ["rating:2..", "rated_by:grace", "-verdict:rejected"])
def test_every_way_to_a_page_finds_the_same_images(rated, monkeypatch, asked) -> None:
    _, _, database = rated
    expected = list(find(database, asked))
    for spared in (4, 0.001):
        monkeypatch.setattr("storage.queries.paths.WINDOW", 1)
        monkeypatch.setattr("storage.queries.paths.SPARED", spared)
        assert list(find(database, asked, Wanted(limit=9))) == expected


def test_they_are_shown_and_sorted_by(rated) -> None:
    _, keys, database = rated
    wanted = read_wanted(sort="-rating", columns="key,rating,verdict,rated_by")
    first, second, *others = (tuple(row.values()) for row in find(database, "", wanted))
    assert first == (keys[1], 4.0, None, "grace")
    assert second == (keys[0], 3.5, "accepted,rejected", "ada,grace")
    assert [row[1] for row in others] == [None] * 6
    assert (keys[4], None, "rejected", "ada") in others


def test_groups_average_the_stars_of_images_not_of_people(rated) -> None:
    _, _, database = rated
    (found,) = group(database, "prompt:red", read_columns("prompt")).rows
    assert (found["n"], found["rating_n"], found["rating_mean"]) == (4, 2, 3.75)
    assert "rating_n" not in group(database, "prompt:green", read_columns("steps")).rows
    by_verdict = group(database, "state:done", read_columns("verdict")).rows
    counts = {row["verdict"]: row["n"] for row in by_verdict}
    assert counts == {None: 4, "accepted,rejected": 1, "rejected": 1}


def test_a_verdict_that_nobody_can_give_is_refused(rated) -> None:
    with pytest.raises(QueryError, match="verdict must be one of accepted, rejected"):
        count(rated[2], "verdict:good")


def test_the_store_shows_who_said_what(rated) -> None:
    settings, keys, _ = rated
    with Store(settings) as store:
        shown = store.show(keys[0])["ratings"]
        (row,) = store.sql("SELECT * FROM image_ratings WHERE verdict = 'accepted'")
        assert store.show(keys[2])["ratings"] == []
    assert [(each["who"], each["stars"], each["verdict"]) for each in shown] == [
        ("ada", 5, "accepted"),
        ("grace", 2, "rejected"),
    ]
    assert shown[0].keys() == {"who", "stars", "verdict", "rated_at"}
    assert row == {"key": keys[0], **shown[0]}
