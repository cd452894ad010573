"""Archived sweeps: what leaves them alone, and how they come back."""

import pytest
import sqlalchemy as sa

from storage.jobs import leftovers, lifecycle
from storage.jobs.claims import claim
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.jobs.results import record_done
from storage.jobs.sweeps import Sweep, find_sweep, list_sweeps, save_sweep
from storage.queries.answers import count, read_meaning
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    submit,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HERE = sa.true()


def require(database: Database, name: str = "s") -> Sweep:
    found = find_sweep(database, name)
    assert found is not None
    return found


def fill(database: Database, *seeds: int, made: int, name: str = "s") -> Sweep:
    """Submit a sweep of some seeds, the first of which are made."""
    planned = plan_seeds(*seeds)
    submit(database, planned, name=name)
    keys = [one.job.key for one in planned[:made]]
    done = {one.id: make_result() for one in take_these(database, keys, "w:1:1")}
    record_done(database, done, worker="gpu0", environment=ENVIRONMENT)
    return require(database, name)


def test_an_archived_sweep_is_not_listed_and_its_images_are_found(
    database: Database,
) -> None:
    sweep = fill(database, 1, 2, made=2)
    companion_of(database, sweep)
    assert lifecycle.archive(database, sweep)
    assert list_sweeps(database) == []
    hidden = list_sweeps(database, with_hidden=True)
    assert {each.state for each in hidden} == {"archived"}
    assert count(database, "sweep:s") == 2


def test_nothing_of_an_archived_sweep_is_made_until_it_is_resumed(
    database: Database,
) -> None:
    sweep = fill(database, 1, 2, made=1)
    group = plan_seeds(2)[0].job.group
    lifecycle.archive(database, sweep)
    assert not claim(database, owner="w:1:2", lease_s=90.0, group=group, limit=9)
    assert lifecycle.take_back(database, sweep) == "cancelled"
    assert not claim(database, owner="w:1:2", lease_s=90.0, group=group, limit=9)
    lifecycle.set_state(database, sweep, "active")
    assert claim(database, owner="w:1:2", lease_s=90.0, group=group, limit=9)


def test_a_whole_sweep_comes_back_as_it_was(database: Database) -> None:
    sweep = fill(database, 1, made=1)
    lifecycle.archive(database, sweep)
    assert lifecycle.take_back(database, sweep) == "active"
    assert list_sweeps(database) == [sweep]


def test_a_submission_takes_a_sweep_back(database: Database) -> None:
    lifecycle.archive(database, fill(database, 1, made=1))
    again = save_sweep(database, "s", spec="more", axes={})
    assert again.state == "active"
    assert list_sweeps(database) == [again]


def test_a_sweep_that_was_submitted_anew_meanwhile_is_not_archived(
    database: Database,
) -> None:
    sweep = fill(database, 1, made=1)
    save_sweep(database, "s", spec="more", axes={})
    assert not lifecycle.archive(database, sweep)
    assert require(database).state == "active"


def test_images_of_an_archived_sweep_outlive_every_removal(database: Database) -> None:
    fill(database, 1, 2, made=2)
    other = fill(database, 1, 2, 3, made=3, name="other")
    changed = save_sweep(database, "s", spec="fewer", axes={})
    add_jobs(database, changed, plan_seeds(1))
    assert lifecycle.archive(database, changed)
    lifecycle.set_state(database, other, "cancelled")
    by_query = leftovers.of_query(database, read_meaning(database, ""), here=HERE)
    assert (len(by_query.images), by_query.shared) == (1, 2)
    by_name = leftovers.of_sweep(database, other, here=HERE)
    assert (len(by_name.images), by_name.shared) == (1, 2)
    assert lifecycle.remove(database, require(database, "other"))
    # Seed 2 is of an earlier revision of the archived sweep, seed 3 of nobody.
    unwanted = leftovers.of_nobody(database, here=HERE, before=None)
    assert len(unwanted.images) == 1


def test_failures_of_an_archived_sweep_stay(database: Database) -> None:
    sweep = fill(database, 1, 2, 3, made=1)
    with database.write() as connection:
        failed = "UPDATE jobs SET state = 'failed', error = 'no' WHERE seed = 2"
        connection.execute(sa.text(failed))
    assert len(leftovers.of_failures(database, before=None).rows) == 1
    lifecycle.archive(database, sweep)
    assert not leftovers.of_failures(database, before=None).rows
