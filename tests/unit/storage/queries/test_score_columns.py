import json

import pytest
import sqlalchemy as sa

from storage.errors import QueryError, UsageError
from storage.queries.answers import find, read_wanted
from storage.queries.groups import group
from storage.queries.scored import find_metrics
from storage.queries.sorting import read_columns
from storage.sql.database import open_database
from storage.sql.schema import jobs, metrics, scores
from tests.unit.filled_store import filled

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def database(tmp_path, database_url):
    settings, _ = filled(tmp_path)
    opened = open_database(settings.database_url)
    yield opened
    opened.close()


def add_metric(database, name, *values, model="", version="1", **reference):
    """Add a metric, and scores of the first jobs; a None is still to be computed."""
    row = {
        "digest": repr((name, model, version, reference))[:32],
        "source": name,
        "model_fingerprint": "",
        "reference": json.dumps(reference),
        "higher_is_better": True,
    }
    row |= {"name": name, "version": version, "model": model}
    with database.write() as connection:
        metric_id = connection.execute(
            sa.insert(metrics).values(row).returning(metrics.c.id)
        ).scalar_one()
        ids = connection.execute(sa.select(jobs.c.id).order_by(jobs.c.id)).scalars()
        for job_id, value in zip(ids.all(), values, strict=False):
            state = "pending" if value is None else "done"
            score = {"job_id": job_id, "metric_id": metric_id, "value": value}
            score |= {"state": state, "attempts": 0, "deaths": 0}
            connection.execute(sa.insert(scores).values(score))


def values_of(database, query, **wanted):
    rows = find(database, query, read_wanted(columns="score.clip", **wanted))
    return [row["score.clip"] for row in rows]


def test_images_are_found_sorted_and_shown_by_a_score(database):
    add_metric(database, "clip", 0.3, 0.25, None, 0.28)

    assert values_of(database, "score.clip:0.28..") == [0.3, 0.28]
    assert values_of(database, "shapes score.clip:*") == [0.3, 0.25, 0.28]
    assert values_of(database, "-score.clip:* state:done") == [None] * 3
    sorted_by = values_of(database, "", sort="-score.clip")
    assert sorted_by == [0.3, 0.28, 0.25, *[None] * 5]


def test_groups_average_the_scores_that_there_are(database):
    add_metric(database, "clip", 0.3, 0.25, 0.2, None)
    add_metric(database, "unused")

    found = group(database, "shapes", read_columns("steps"), percentiles=[50])

    assert [row["score.clip_n"] for row in found.rows] == [2, 1]
    assert found.rows[0]["score.clip_mean"] == pytest.approx(0.25)
    assert found.rows[0]["score.clip_sd"] == pytest.approx(0.05 * 2**0.5)
    assert found.rows[0]["score.clip_p50"] == pytest.approx(0.25)
    assert found.rows[1]["score.clip_sd"] is None
    assert "score.unused_n" not in found.rows[0]
    assert (
        "score.clip_n"
        not in group(database, "state:failed", read_columns("steps")).rows[0]
    )


def test_of_metrics_that_differ_in_their_version_the_newest_counts(database):
    add_metric(database, "clip", 0.1)
    add_metric(database, "clip", 0.2, version="2")
    assert values_of(database, "score.clip:*") == [0.2]
    add_metric(database, "clip", None, version="3")
    assert values_of(database, "score.clip:*") == [0.2]
    (found,) = find_metrics(database, "")
    assert (found.version, found.count) == ("2", 1)
    found = group(database, "shapes", read_columns("model"))
    assert found.rows[0]["score.clip_mean"] == 0.2


def test_a_metric_of_several_is_told_by_part_of_its_model_or_reference(database):
    add_metric(database, "clip", 0.1, model="builtin:shapes")
    add_metric(database, "clip", 0.2, model="openai/clip", steps=200)

    for name, value in (("builtin", 0.1), ("OpenAI", 0.2), ("steps=200", 0.2)):
        column = f"score.clip@{name}"
        (row,) = find(database, f"{column}:*", read_wanted(columns=column))
        assert row == {column: value}
    both = "score.clip@builtin_shapes or score.clip@openai/clip,steps=200"
    for name in ("clip", "clip@i"):
        with pytest.raises(QueryError) as refused:
            list(find(database, f"score.{name}:0.1.."))
        first, _, marks = str(refused.value).splitlines()
        assert first == (
            f"a score must be of one metric, got score.{name}; write {both}."
        )
        assert marks.strip() == "^^^^^"


def test_an_unknown_metric_is_refused_with_the_nearest(database):
    with pytest.raises(UsageError) as nothing:
        list(find(database, "", read_wanted(sort="score.clip")))
    assert str(nothing.value) == (
        "a score must be of a metric that was asked for, got score.clip; nothing was "
        "scored yet."
    )
    add_metric(database, "clip")
    with pytest.raises(
        UsageError, match=r"got score\.clib; did you mean score\.clip\?"
    ):
        list(find(database, "score.clib:*"))
    with pytest.raises(UsageError, match=r"got score\.zzz; there are score\.clip\."):
        list(find(database, "score.zzz:*"))


def test_a_distance_between_seeds_is_named_as_such_only(database):
    add_metric(database, "rmse", 0.1, steps=200)
    add_metric(database, "rmse", 0.4, seed=0)

    for name, value in (("rmse", 0.1), ("rmse@seed=0", 0.4)):
        column = f"score.{name}"
        (row,) = find(database, f"{column}:*", read_wanted(columns=column))
        assert row == {column: value}
    add_metric(database, "rmse", 0.2, steps=100)
    with pytest.raises(UsageError) as refused:
        list(find(database, "score.rmse:*"))
    assert str(refused.value).splitlines()[0] == (
        "a score must be of one metric, got score.rmse; write score.rmse@steps=200 or "
        "score.rmse@steps=100."
    )
