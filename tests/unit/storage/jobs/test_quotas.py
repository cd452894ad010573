"""Quotas: an owner's sweeps stop at the quota, others go on, and more lets them go."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from storage.jobs import lifecycle, quota_holds, quotas
from storage.jobs.budgets import Limits, find_budget
from storage.jobs.claims import Claim
from storage.jobs.companions import companion_of
from storage.jobs.inventory import take_inventory
from storage.jobs.owner_uses import select_owners
from storage.jobs.quotas import end_of_period, find_quota, set_quota
from storage.jobs.results import Timings, record_done, record_failure
from storage.jobs.sweeps import find_sweep, list_sweeps, save_sweep
from storage.sql.database import Database
from storage.sql.schema import jobs, owners
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
    untold,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HOUR = 3600.0
REASON = "the quota of alice, 1 GPU-hour in all, is used"


def make(database: Database, taken: list[Claim], *, seconds: float = 1.0) -> None:
    timings = Timings(encode_s=0.0, denoise_s=seconds, decode_s=0.0, save_s=0.0)
    made = {claim.id: make_result(timings=timings) for claim in taken}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def state_of(database: Database, name: str) -> tuple[str, str | None]:
    now = find_sweep(database, name)
    assert now
    return now.state, now.reason


def use_up(database: Database) -> None:
    """Let alice, who has a sweep `a` of some jobs, use an hour and more."""
    submit(database, plan_seeds(*range(6)), name="a", owner="alice")
    set_quota(database, "alice", HOUR, period=None)
    make(database, take(database, limit=1), seconds=HOUR + 1)


def test_at_the_quota_all_sweeps_of_the_owner_wait_and_others_go_on(
    database: Database,
) -> None:
    use_up(database)
    submit(database, plan_seeds(20, 21), name="more", owner="alice")
    submit(database, plan_seeds(50, 51), name="b", owner="bob")
    assert {claim.job.seed for claim in take(database)} == {50, 51}
    assert state_of(database, "a") == ("paused", REASON)
    assert state_of(database, "more") == ("paused", REASON)
    assert state_of(database, "b") == ("active", None)
    lifecycle.settle_all(database)
    assert untold(database) == []


def test_a_sweep_with_nothing_left_to_make_is_not_paused_at_the_quota(
    database: Database,
) -> None:
    submit(database, plan_seeds(20), name="made", owner="alice")
    make(database, take(database))
    submit(database, plan_seeds(30), name="in hand", owner="alice", priority=0)
    (last,) = take(database)
    use_up(database)
    assert quota_holds.hold_reached(database) == ["a"]
    make(database, [last])
    lifecycle.settle_all(database)
    assert quota_holds.hold_reached(database) == []
    found = take_inventory(database, list_sweeps(database))
    assert {one.sweep: one.state for one in found} == {
        "made": "finished",
        "in hand": "finished",
        "a": "paused",
    }


def test_others_go_on_while_jobs_in_hand_take_the_rest_of_a_quota(
    database: Database,
) -> None:
    submit(database, plan_seeds(*range(50, 56)), name="b", owner="bob")
    make(database, take(database, limit=1), seconds=3 * HOUR)
    submit(database, plan_seeds(*range(20)), name="a", owner="alice")
    set_quota(database, "alice", 60.0, period=None)
    make(database, take(database, limit=2), seconds=10.0)
    assert {claim.job.seed for claim in take(database, limit=4)} == {2, 3, 4, 5}
    # Alice used less than bob, so her jobs come first, but her quota allows no more.
    assert {claim.job.seed for claim in take(database, limit=2)} == {51, 52}
    last = take(database, limit=2, longest_first=True)
    assert {claim.job.seed for claim in last} == {53, 54}
    assert state_of(database, "a") == ("active", None)


def test_a_sweep_that_is_submitted_at_the_quota_waits(database: Database) -> None:
    use_up(database)
    assert take(database) == []
    submit(database, plan_seeds(20, 21), name="more", owner="alice")
    assert take(database) == []
    assert state_of(database, "more") == ("paused", REASON)


def test_more_hours_let_the_sweeps_go_on(database: Database) -> None:
    use_up(database)
    assert take(database) == []
    assert quota_holds.release(database) == []
    set_quota(database, "alice", 2 * HOUR, period=None)
    assert quota_holds.release(database) == ["a"]
    lifecycle.settle_all(database)
    assert state_of(database, "a") == ("active", None)
    assert len(take(database)) == 1  # of 59 minutes, with images of an hour
    budget = find_quota(database, "alice")
    assert budget
    assert (budget.used_s, budget.made) == (HOUR + 1, 1)


def test_without_a_quota_the_sweeps_go_on(database: Database) -> None:
    use_up(database)
    take(database)
    assert quotas.remove_quota(database, "alice")
    assert not quotas.remove_quota(database, "alice")
    assert quota_holds.release(database) == ["a"]
    lifecycle.settle_all(database)
    assert len(take(database)) == 4


def test_a_sweep_that_somebody_paused_meanwhile_stays_paused(
    database: Database,
) -> None:
    use_up(database)
    take(database)
    sweep = find_sweep(database, "a")
    assert sweep
    lifecycle.set_state(database, sweep, "paused")
    quotas.remove_quota(database, "alice")
    assert quota_holds.release(database) == []
    assert state_of(database, "a")[0] == "paused"


def test_resuming_does_not_lift_a_quota(database: Database) -> None:
    use_up(database)
    take(database)
    sweep = find_sweep(database, "a")
    assert sweep
    lifecycle.set_state(database, sweep, "active")
    assert take(database) == []
    assert state_of(database, "a") == ("paused", REASON)


def test_a_held_sweep_keeps_its_own_limits(database: Database) -> None:
    use_up(database)
    sweep = find_sweep(database, "a")
    assert sweep
    lifecycle.set_state(database, sweep, "active", limits=Limits(images=3))
    assert take(database) == []
    set_quota(database, "alice", 100 * HOUR, period=None)
    quota_holds.release(database)
    lifecycle.settle_all(database)
    assert len(take(database)) == 3
    budget = find_budget(database, sweep.id)
    assert budget
    assert (budget.limits, budget.reached) == (Limits(images=3), None)


def test_jobs_in_hand_are_finished_and_counted(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3), name="a", owner="alice")
    set_quota(database, "alice", HOUR, period=None)
    first, second = take(database, limit=2)
    make(database, [first], seconds=HOUR)
    assert take(database) == []
    lifecycle.settle_all(database)
    assert states(database)[2] == "leased"
    make(database, [second], seconds=10.0)
    quota = find_quota(database, "alice")
    assert quota
    assert (quota.used_s, quota.left_s, quota.is_reached) == (HOUR + 10, 0.0, True)


def test_near_the_quota_no_more_is_claimed_than_fits(database: Database) -> None:
    submit(database, plan_seeds(*range(20)), name="a", owner="alice")
    set_quota(database, "alice", HOUR, period=None)
    make(database, take(database, limit=2), seconds=600)
    assert len(take(database, limit=8)) == 4
    assert take(database) == []


def test_failed_attempts_do_not_count(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="a", owner="alice")
    set_quota(database, "alice", HOUR, period=None)
    (claim,) = take(database, limit=1)
    record_failure(database, claim.id, owner="host:1:1", error="NaN")
    quota = find_quota(database, "alice")
    assert quota
    assert (quota.used_s, quota.made) == (0.0, 0)


def test_a_shared_job_counts_for_the_sweep_that_asked_first(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2), name="a", owner="alice")
    submit(database, plan_seeds(1, 2), name="b", owner="bob")
    set_quota(database, "alice", HOUR, period=None)
    make(database, take(database, limit=1), seconds=HOUR)
    # Alice's sweep is paused at her quota; bob's wants the other image still.
    assert take(database) == []
    lifecycle.settle_all(database)
    (claim,) = take(database)
    make(database, [claim], seconds=5.0)
    with database.read() as connection:
        rows = connection.execute(select_owners())
        used = {row.name: row.used_s for row in rows if row.name}
    assert used == {"alice": HOUR, "bob": 5.0}


def test_a_period_begins_anew(database: Database) -> None:
    submit(database, plan_seeds(*range(6)), name="a", owner="alice")
    set_quota(database, "alice", HOUR, period="week")
    make(database, take(database, limit=1), seconds=HOUR)
    assert take(database) == []
    with database.write() as connection:
        connection.execute(sa.update(owners).values(ends_at=1.0))
    assert quota_holds.release(database) == ["a"]
    lifecycle.settle_all(database)
    assert len(take(database)) == 4
    quota = find_quota(database, "alice")
    assert quota
    assert (quota.used_s, quota.made, quota.total_s) == (0.0, 0, HOUR)
    assert quota.ends_at
    assert quota.ends_at > 1e9


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("period", "end"),
    [
        ("day", "2026-11-29T00:00+00:00"),
        ("week", "2026-11-30T00:00+00:00"),
        ("month", "2026-12-01T00:00+00:00"),
    ],
)
def test_periods_end_at_midnight_utc_weeks_on_monday(period: str, end: str) -> None:
    now = datetime(2026, 11, 28, 13, 5, tzinfo=UTC).timestamp()  # a Saturday
    assert end_of_period(period, now) == datetime.fromisoformat(end).timestamp()


def test_the_same_period_keeps_what_was_used_and_another_begins_anew(
    database: Database,
) -> None:
    use_up(database)
    set_quota(database, "alice", 9 * HOUR, period=None)
    assert (find_quota(database, "alice") or quotas.Quota(owner="")).made == 1
    set_quota(database, "alice", 9 * HOUR, period="month")
    assert (find_quota(database, "alice") or quotas.Quota(owner="")).made == 0


def test_references_count_for_the_owner_of_the_sweep(database: Database) -> None:
    sweep = submit(database, plan_seeds(1), name="a", owner="alice")
    companion = companion_of(database, sweep)
    assert companion.owner == "alice"


def test_a_sweep_keeps_its_owner_and_one_without_gets_the_next_who_submits(
    database: Database,
) -> None:
    submit(database, plan_seeds(1), name="a", owner="alice")
    assert save_sweep(database, "a", spec="two", axes={}, owner="bob").owner == "alice"
    old = submit(database, plan_seeds(2), name="old")
    assert old.owner is None
    assert save_sweep(database, "old", spec="one", axes={}, owner="bob").owner == "bob"
    lifecycle.settle(database, old)
    with database.read() as connection:
        query = sa.select(owners.c.name).join(jobs, jobs.c.payer_id == owners.c.id)
        paid = connection.execute(query.where(jobs.c.seed == 2)).scalar_one()
    assert paid == "bob"
