"""References are found by their sweep or their key, and by nothing else."""

from dataclasses import replace

import pytest

from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.queries.answers import count, find, find_one
from storage.queries.groups import group
from storage.queries.parsing import parse
from storage.queries.sorting import read_columns
from storage.sql.database import Database
from tests.builders import make_planned, plan_seeds, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def with_references(database: Database) -> Database:
    """A sweep `night` at 20 steps with seeds 0 to 2, and references at 20 and 200."""
    sweep = submit(database, plan_seeds(0, 1, 2))
    references = [make_planned(seed=0, steps=200), make_planned(seed=0, steps=20)]
    add_jobs(database, companion_of(database, sweep), references)
    return database


def steps_of(database: Database, query: str) -> list[int]:
    return sorted(row["steps"] for row in find(database, query))


def test_a_query_without_a_sweep_leaves_out_what_is_a_reference_only(
    with_references: Database,
) -> None:
    assert steps_of(with_references, "") == [20, 20, 20]
    assert steps_of(with_references, "seed:0") == [20]
    assert steps_of(with_references, "steps:200") == []
    assert steps_of(with_references, "!sweep:night") == []
    assert count(with_references, "") == 3
    (row,) = group(with_references, "", read_columns("seed"), percentiles=[]).rows[:1]
    assert row["n"] == 1


def test_references_are_found_by_their_sweep_and_by_their_key(
    with_references: Database,
) -> None:
    assert steps_of(with_references, "night.reference") == [20, 200]
    assert steps_of(with_references, "sweep:night,night.reference") == [20, 20, 20, 200]
    key = make_planned(seed=0, steps=200).job.key
    assert find_one(with_references, key[:8])["steps"] == 200
    assert steps_of(with_references, f"key:{key}") == [200]
    assert steps_of(with_references, key) == [200]


def test_a_glob_means_references_only_if_it_fits_nothing_else(
    with_references: Database,
) -> None:
    assert steps_of(with_references, "sweep:ni*") == [20, 20, 20]
    assert steps_of(with_references, "sweep:*.reference") == [20, 200]


def test_a_job_that_a_sweep_wants_later_is_a_reference_no_more(
    with_references: Database,
) -> None:
    submit(with_references, [make_planned(seed=0, steps=200)], name="long")
    assert steps_of(with_references, "") == [20, 20, 20, 200]


def test_whoever_asks_for_all_images_gets_references_too(
    with_references: Database,
) -> None:
    query = replace(parse("seed:0"), has_references=True)
    assert sorted(row["steps"] for row in find(with_references, query)) == [20, 200]
