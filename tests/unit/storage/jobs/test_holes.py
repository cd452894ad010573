"""Images that are not made: why, and who wants them."""

import pytest

from storage.jobs.holes import Holes, find_holes
from storage.jobs.lifecycle import set_state
from storage.jobs.results import record_done, record_failure
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take_these

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_each_hole_has_its_reason(database: Database) -> None:
    planned = plan_seeds(0, 1, 2, 3)
    submit(database, planned)
    keys = [one.job.key for one in planned]
    failed, done, _held = take_these(database, keys[:3])
    record_failure(database, failed.id, owner="host:1:1", error="NaN")
    result = {done.id: make_result()}
    record_done(database, result, worker="cpu0", environment=ENVIRONMENT)
    wanted = Holes(
        failed={"night": [keys[0]]},
        stopped=[],
        waiting=1,
        wanted_by=["night"],
        leased=1,
        unwanted=0,
    )
    assert find_holes(database, "") == wanted
    assert find_holes(database, "nonsense", keys) == wanted
    some = find_holes(database, "seed:3")
    assert (some.failed, some.waiting, some.leased) == ({}, 1, 0)


def test_a_sweep_that_stands_still_holds_what_nobody_else_wants(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(0, 1))
    submit(database, plan_seeds(1), name="other")
    set_state(database, sweep, "paused")
    found = find_holes(database, "")
    assert (found.stopped, found.waiting) == (["night"], 1)


def test_failed_jobs_belong_to_the_sweep_that_goes_on(database: Database) -> None:
    planned = plan_seeds(0)
    sweep = submit(database, planned)
    submit(database, planned, name="other")
    (claim,) = take_these(database, [planned[0].job.key])
    record_failure(database, claim.id, owner="host:1:1", error="NaN")
    set_state(database, sweep, "cancelled")
    assert find_holes(database, "").failed == {"other": [planned[0].job.key]}
