"""The life of a sweep: what it wants, its jobs hear of, however it was broken off."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import claims, lifecycle, sweeps
from storage.jobs.claims import Claim
from storage.jobs.lifecycle import JUDGED, SETTLE_ROWS, TOLERATED
from storage.jobs.membership import add_jobs
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import Sweep, find_sweep
from storage.queries.parsing import refine
from storage.sql.database import Database
from storage.sql.leases import MAX_DEATHS
from storage.sql.schema import sweeps as sweeps_table
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
    take_these,
    untold,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OWNER = "host:1:1"


def priorities(database: Database) -> dict[int, int | None]:
    return {row.seed: row.priority for row in job_rows(database)}


def state_of(database: Database, sweep: Sweep) -> tuple[str, str | None]:
    now = find_sweep(database, sweep.name)
    assert now
    return now.state, now.reason


def end(database: Database, *, done: int = 0, failed: int = 0) -> None:
    """Finish jobs in their order, those that fail first."""
    for claim in take(database, limit=failed):
        record_failure(database, claim.id, owner=OWNER, error="latents are NaN")
    make(database, take(database, limit=done))


def make(database: Database, taken: Iterable[Claim]) -> None:
    made = {claim.id: make_result() for claim in taken}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def set_only_state(database: Database, state: str) -> None:
    """Say what a command says first, as if it had been killed just then."""
    with database.write() as connection:
        connection.execute(sa.update(sweeps_table).values(state=state))


def break_off(
    database: Database,
    sweep: Sweep,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    first_step: bool = True,
) -> None:
    """Begin to pause, resume or cancel a sweep; end before or after the first step."""
    members = lifecycle._members

    def stop(*args: Any, after: int) -> Any:
        if after or not first_step:
            raise KeyboardInterrupt
        return members(*args, after=after)

    with monkeypatch.context() as context:
        context.setattr(lifecycle, "_members", stop)
        with pytest.raises(KeyboardInterrupt):
            lifecycle.set_state(database, sweep, state)


def test_a_paused_sweep_runs_no_job_until_it_is_resumed(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    assert lifecycle.set_state(database, sweep, "paused").changed == 2
    assert take(database) == []
    assert lifecycle.set_state(database, sweep, "active").changed == 2
    assert [claim.job.seed for claim in take(database)] == [1, 2]


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_what_another_sweep_wants_goes_on_at_its_priority(
    database: Database, state: str
) -> None:
    one = submit(database, plan_seeds(1, 2), name="one", priority=2)
    submit(database, plan_seeds(2, 3), name="other", priority=7)
    lifecycle.set_state(database, one, state)
    assert priorities(database) == {1: None, 2: 7, 3: 7}
    lifecycle.set_state(database, one, "active")
    assert priorities(database) == {1: 2, 2: 2, 3: 7}


def test_a_sweep_becomes_more_and_less_urgent(database: Database) -> None:
    one = submit(database, plan_seeds(1, 2), name="one")
    submit(database, plan_seeds(2), name="other", priority=4)
    lifecycle.set_priority(database, one, 1)
    assert priorities(database) == {1: 1, 2: 1}
    lifecycle.set_priority(database, one, 9)
    assert priorities(database) == {1: 9, 2: 4}


def test_submitting_again_keeps_a_priority_that_was_set(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    lifecycle.set_priority(database, sweep, 1)
    assert sweeps.save_sweep(database, "night", spec="two", axes={}).priority == 1


def test_finished_images_are_left_alone(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    end(database, done=1)
    assert lifecycle.set_state(database, sweep, "cancelled").changed == 1
    assert count_states(database, sweep) == {"done": 1, "pending": 1}


def test_resumed_jobs_are_named_for_the_workers(database: Database) -> None:
    wide = make_planned(seed=-1, width=768)
    sweep = submit(database, [wide, *plan_seeds(*range(9))])
    submit(database, plan_seeds(9, dtype="float32"), name="other")
    assert lifecycle.set_state(database, sweep, "paused").woken == {}
    woken = lifecycle.set_state(database, sweep, "active").woken
    assert {wide.job.group, make_job().group} <= set(woken)
    assert lifecycle.set_state(database, sweep, "active").woken == {}


def test_thousands_of_jobs_are_told_step_by_step(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(SETTLE_ROWS)))
    add_jobs(database, sweep, plan_seeds(*range(SETTLE_ROWS, SETTLE_ROWS + 9)))
    assert lifecycle.set_state(database, sweep, "paused").changed == SETTLE_ROWS + 9
    assert set(priorities(database).values()) == {None}


def test_repeating_finishes_what_was_broken_off(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "SETTLE_ROWS", 10)
    sweep = submit(database, plan_seeds(*range(30)))
    break_off(database, sweep, "cancelled", monkeypatch)
    assert sum(each is None for each in priorities(database).values()) == 10
    assert lifecycle.set_state(database, sweep, "cancelled").changed == 20
    assert set(priorities(database).values()) == {None}


@pytest.mark.parametrize("state", ["active", "paused"])
def test_repair_finishes_what_was_broken_off(
    database: Database, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(lifecycle, "SETTLE_ROWS", 10)
    sweep = submit(database, plan_seeds(*range(30)))
    submit(database, plan_seeds(*range(40, 45)), name="other")
    lifecycle.set_state(database, sweep, "paused" if state == "active" else "active")
    break_off(database, sweep, state, monkeypatch)
    assert lifecycle.settle_all(database) == 20
    assert untold(database) == []
    wanted = 5 if state == "active" else None
    assert {priorities(database)[seed] for seed in range(30)} == {wanted}
    assert untold(database) == []


@pytest.mark.parametrize("state", ["active", "paused"])
def test_what_was_broken_off_is_seen_though_the_last_jobs_are_done(
    database: Database, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    planned = plan_seeds(*range(120))
    sweep = submit(database, planned)
    last = [one.job.key for one in planned[60:]]
    make(database, take_these(database, last))
    lifecycle.set_state(database, sweep, "paused" if state == "active" else "active")
    break_off(database, sweep, state, monkeypatch, first_step=False)
    assert lifecycle.settle_all(database) == 60
    wanted = 5 if state == "active" else None
    known = priorities(database)
    assert {known[seed] for seed in range(60)} == {wanted}
    assert untold(database) == []


@pytest.mark.parametrize("priority", [5, 2, 8])
def test_what_was_broken_off_is_seen_though_another_sweep_wants_the_last_jobs(
    database: Database, monkeypatch: pytest.MonkeyPatch, priority: int
) -> None:
    sweep = submit(database, plan_seeds(*range(120)))
    submit(database, plan_seeds(*range(60, 120)), name="other", priority=priority)
    lifecycle.set_state(database, sweep, "paused")
    break_off(database, sweep, "active", monkeypatch, first_step=False)
    assert lifecycle.settle_all(database) >= 60
    assert untold(database) == []
    known = priorities(database)
    assert {known[seed] for seed in range(60)} == {5}
    assert {known[seed] for seed in range(60, 120)} == {min(5, priority)}


@pytest.mark.parametrize(("before", "after"), [(2, 8), (8, 2)])
def test_a_change_of_urgency_that_was_broken_off_is_finished(
    database: Database, before: int, after: int
) -> None:
    submit(database, plan_seeds(1, 2), priority=before)
    submit(database, plan_seeds(2, 3), name="other", priority=4)
    with database.write() as connection:
        # As `priority` says it first.
        night = sweeps_table.c.name == "night"
        changed = sa.update(sweeps_table).where(night)
        changes = sweeps_table.c.changes + 1
        connection.execute(changed.values(priority=after, changes=changes))
    lifecycle.settle_all(database)
    assert priorities(database) == {1: after, 2: min(after, 4), 3: 4}
    assert untold(database) == []


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_a_job_is_not_claimed_before_it_hears_that_nobody_wants_it(
    database: Database, state: str
) -> None:
    submit(database, plan_seeds(1, 2))
    set_only_state(database, state)
    submit(database, plan_seeds(2, 3), name="other")
    assert [claim.job.seed for claim in take(database)] == [2, 3]
    assert priorities(database) == {1: None, 2: 5, 3: 5}


def test_jobs_in_hand_hear_of_it_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "SETTLE_ROWS", 1)
    one = submit(database, plan_seeds(1, 2, 3), name="one")
    submit(database, plan_seeds(3), name="other", priority=7)
    claimed = {claim.job.seed: claim.id for claim in take(database, OWNER)}
    assert claims.unwanted(database, OWNER) == set()

    def stop(*_args: Any, **_others: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "_members", stop)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.set_state(database, one, "cancelled")
    assert claims.unwanted(database, OWNER) == {claimed[1], claimed[2]}
    assert claims.unwanted(database, "host:2:2") == set()


def test_a_job_that_was_handed_back_unwanted_waits_until_it_is_wanted(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1))
    (claim,) = take(database, OWNER)
    lifecycle.set_state(database, sweep, "paused")
    claims.hand_back(database, owner=OWNER, ids=[claim.id])
    assert take(database) == []
    assert untold(database) == []
    lifecycle.set_state(database, sweep, "active")
    assert [again.attempts for again in take(database)] == [1]


def test_one_failure_in_five_of_the_first_hundred_is_tolerated(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(*range(200)))
    end(database, failed=TOLERATED, done=JUDGED - TOLERATED)
    take(database, limit=1)
    assert lifecycle.judge(database) == []
    end(database, failed=50)
    assert lifecycle.judge(database) == []
    assert state_of(database, sweep) == ("active", None)


def test_a_sweep_that_goes_well_is_judged_without_a_change_to_its_jobs(
    database: Database,
) -> None:
    submit(database, plan_seeds(*range(200)))
    end(database, done=JUDGED)
    take(database, limit=1)
    changed: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("UPDATE"):
            changed.append(statement.split()[1])

    assert lifecycle.judge(database) == []
    assert changed == ["sweeps"]


def test_a_sweep_that_fails_pauses_itself_and_says_why(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(200)))
    end(database, done=10, failed=TOLERATED)
    take(database, limit=2)
    assert lifecycle.judge(database) == []
    end(database, failed=1)
    assert lifecycle.judge(database) == ["night"]
    state, reason = state_of(database, sweep)
    assert state == "paused"
    assert reason == (
        "21 of its first 31 jobs failed, most of them with: latents are NaN. Mend "
        "that, then `nightsweep retry night` and `nightsweep resume night`; or "
        "`nightsweep cancel night`"
    )
    assert take(database) == []
    assert len(claims.unwanted(database, OWNER)) == 2


def test_a_sweep_is_judged_once(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(200)))
    end(database, failed=TOLERATED + 1)
    take(database, limit=1)
    assert lifecycle.judge(database) == ["night"]
    lifecycle.set_state(database, sweep, "paused")
    assert state_of(database, sweep)[1]
    lifecycle.set_state(database, sweep, "active")
    assert state_of(database, sweep) == ("active", None)
    end(database, failed=TOLERATED + 1)
    assert lifecycle.judge(database) == []
    assert state_of(database, sweep) == ("active", None)


def test_a_sweep_is_not_judged_by_what_others_made(database: Database) -> None:
    submit(database, plan_seeds(*range(30)), name="first")
    end(database, failed=30)
    sweep = submit(database, plan_seeds(*range(60)))
    take(database, limit=1)
    assert lifecycle.judge(database) == []
    assert state_of(database, sweep) == ("active", None)


def test_a_sweep_that_nobody_works_on_is_not_judged(database: Database) -> None:
    submit(database, plan_seeds(*range(60)))
    end(database, failed=TOLERATED + 1)
    assert lifecycle.judge(database) == []


def test_failed_jobs_are_tried_again_by_what_they_are(database: Database) -> None:
    sweep = submit(database, [*plan_seeds(1, 2), *plan_seeds(3, steps=30)])
    for claim in take(database):
        record_failure(database, claim.id, owner=OWNER, error="latents are NaN")
    among = refine("", steps=[30])
    assert sweeps.retry(database, sweep, among=among) == {
        make_job().group: [make_job(seed=3, steps=30).key]
    }
    assert states(database) == {1: "failed", 2: "failed", 3: "pending"}
    quarantined = refine("", state=["quarantined"])
    assert sweeps.retry(database, sweep, among=quarantined) == {}


def test_a_quarantined_job_is_tried_again_as_if_it_were_new(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    before = job_rows(database)[0]
    for _ in range(MAX_DEATHS):
        take_these(database, [before.key])
        claims.free_owner(database, OWNER, died=True)
    assert states(database)[1] == "quarantined"
    sweeps.retry(database, sweep)
    assert job_rows(database)[0] == before
    assert len(take(database)) == 2


def test_what_a_cancelled_sweep_tries_again_waits_for_it(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    end(database, failed=1)
    lifecycle.set_state(database, sweep, "cancelled")
    assert sweeps.retry(database, sweep)
    assert take(database) == []
    lifecycle.set_state(database, sweep, "active")
    assert len(take(database)) == 1


def test_a_cancelled_sweep_of_another_spec_becomes_active_with_all_its_jobs(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(*range(5)))
    lifecycle.set_state(database, sweep, "cancelled")
    again = sweeps.save_sweep(database, "night", spec="two", axes={})
    assert lifecycle.settle(database, again).changed == 5
    assert priorities(database) == dict.fromkeys(range(5), 5)
    changed = {"revision": 2, "spec": "two", "digest": again.digest}
    assert again.digest != sweep.digest
    assert replace(again, axes={}) == replace(sweep, **changed)
