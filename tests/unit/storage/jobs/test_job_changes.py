"""Which jobs changed their state between two looks."""

import pytest

from storage.jobs.claims import hand_back
from storage.jobs.job_changes import (
    count_changes,
    find_transitions,
    look,
    select_changed,
)
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweeps import retry
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    submit,
    take,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_nothing_changed_where_nobody_did_anything(database: Database) -> None:
    submit(database, plan_seeds(0, 1))
    take(database, limit=1)
    assert find_transitions(database, look(database), look(database)) == []


def test_every_change_is_found_and_counted(database: Database) -> None:
    planned = plan_seeds(0, 1, 2, 3, 4)
    sweep = submit(database, planned)
    submit(database, planned[:1], name="other")
    keys = [one.job.key for one in planned]
    back, failing, again = take_these(database, keys[:3])
    record_failure(database, again.id, owner="host:1:1", error="NaN")
    before = look(database)

    hand_back(database, owner="host:1:1", ids=[back.id])
    record_failure(database, failing.id, owner="host:1:1", error="NaN")
    retry(database, sweep, among="seed:2")
    done, _held = take_these(database, keys[3:])
    result = {done.id: make_result()}
    record_done(database, result, worker="cpu0", environment=ENVIRONMENT)

    changed = find_transitions(database, before, look(database))
    assert {one.key: (one.before, one.after) for one in changed} == {
        keys[0]: ("leased", "pending"),
        keys[1]: ("leased", "failed"),
        keys[2]: ("failed", "pending"),
        keys[3]: ("pending", "done"),
        keys[4]: ("pending", "leased"),
    }
    assert count_changes(database, changed) == {
        "night": {"leased": -1, "failed": 0, "pending": 0, "done": 1},
        "other": {"leased": -1, "pending": 1},
    }


def test_a_late_row_of_an_early_result_is_found(database: Database) -> None:
    submit(database, plan_seeds(0, 1))
    first, second = take(database)
    times = ("2026-01-02T03:04:09.000000+00:00", "2026-01-02T03:04:05.000000+00:00")
    for claim, time in zip((first, second), times, strict=True):
        before = look(database)
        result = {claim.id: make_result(finished_at=time)}
        record_done(database, result, worker="cpu0", environment=ENVIRONMENT)
        (changed,) = find_transitions(database, before, look(database))
        assert (changed.key, changed.after) == (claim.job.key, "done")


def test_changes_are_chosen_by_a_query_whatever_state_it_asks_for(
    database: Database,
) -> None:
    submit(database, plan_seeds(0, 1))
    before = look(database)
    claims = take(database)
    changed = find_transitions(database, before, look(database))
    assert len(changed) == 2
    (one,) = select_changed(database, "night seed:1 state:failed", changed)
    assert one.key == claims[1].job.key
