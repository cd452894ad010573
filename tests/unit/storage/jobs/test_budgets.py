"""Budgets: an image counts once, and a limit is passed by no more than is said."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import budgets, claims, lifecycle
from storage.jobs.allowances import Allowances
from storage.jobs.budgets import Budget, Limits, find_budget, stop_reached
from storage.jobs.claims import Claim
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.jobs.results import Timings, record_done, record_failure
from storage.jobs.sweeps import Sweep, find_sweep, save_sweep
from storage.sql.clocks import clock
from storage.sql.database import Database
from storage.sql.schema import budgets as budgets_table
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
    untold,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HOUR = 3600.0


def limit(database: Database, sweep: Sweep, **values: Any) -> None:
    lifecycle.set_state(database, sweep, "active", limits=Limits(**values))


def make(database: Database, taken: list[Claim], *, seconds: float = 1.0) -> None:
    timings = Timings(encode_s=0.0, denoise_s=seconds, decode_s=0.0, save_s=0.0)
    made = {claim.id: make_result(timings=timings) for claim in taken}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def state_of(database: Database, sweep: Sweep) -> tuple[str, str | None]:
    now = find_sweep(database, sweep.name)
    assert now
    return now.state, now.reason


def used(database: Database, sweep: Sweep) -> tuple[float, int]:
    budget = find_budget(database, sweep.id)
    assert budget
    return budget.used_s, budget.made


def now_of(database: Database) -> float:
    with database.read() as connection:
        return clock(connection)


def expire(database: Database) -> None:
    """Let the time of all budgets be over."""
    with database.write() as connection:
        until = clock(connection) - 1
        connection.execute(sa.update(budgets_table).values(until=until))


def test_a_sweep_makes_as_many_images_as_it_may(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(9)))
    limit(database, sweep, images=5)
    first = take(database, "host:1:1", limit=3)
    second = take(database, "host:2:2", limit=3)
    assert (len(first), len(second)) == (3, 2)
    assert take(database) == []
    make(database, first)
    assert take(database) == []
    assert state_of(database, sweep) == ("active", None)
    make(database, second)
    assert take(database) == []
    assert state_of(database, sweep) == (
        "paused",
        "it has made as many images as it may (limits.stop_after_jobs)",
    )
    lifecycle.settle_all(database)
    assert untold(database) == []


def test_a_job_that_fails_or_is_handed_back_leaves_room(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(5)))
    limit(database, sweep, images=2)
    one, other = take(database)
    record_failure(database, one.id, owner="host:1:1", error="NaN")
    claims.hand_back(database, owner="host:1:1", ids=[other.id])
    again = take(database)
    assert len(again) == 2
    make(database, again)
    assert used(database, sweep) == (2.0, 2)


def test_an_image_that_is_finished_twice_counts_once(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3))
    limit(database, sweep, images=2)
    taken = take(database, limit=1)
    make(database, taken)
    make(database, taken)
    assert used(database, sweep) == (1.0, 1)


def test_gpu_hours_stop_a_sweep_before_much_more_is_claimed(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(*range(20)))
    limit(database, sweep, gpu_s=HOUR)
    make(database, take(database, limit=2), seconds=600)
    # 40 minutes are left, and an image took 10 of them so far.
    taken = take(database, limit=8)
    assert len(taken) == 4
    assert take(database) == []
    make(database, taken, seconds=500)
    # 400 s are left: one more.
    taken = take(database, limit=8)
    assert len(taken) == 1
    make(database, taken, seconds=500)
    assert take(database) == []
    assert state_of(database, sweep) == (
        "paused",
        "its GPU hours are used (limits.gpu_hours)",
    )
    assert used(database, sweep) == (3700.0, 7)


def test_time_stops_a_sweep_and_jobs_in_hand_are_finished(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3))
    limit(database, sweep, until=now_of(database) + HOUR)
    taken = take(database, limit=2)
    expire(database)
    assert take(database) == []
    assert state_of(database, sweep) == ("paused", "its time is up (limits.until)")
    lifecycle.settle_all(database)
    assert untold(database) == []
    assert claims.unwanted(database, "host:1:1") == set()
    make(database, taken)
    assert states(database) == {1: "done", 2: "done", 3: "pending"}
    assert used(database, sweep) == (2.0, 2)


def test_a_sweep_at_its_limit_hands_back_jobs_when_it_is_cancelled(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    limit(database, sweep, until=now_of(database) + HOUR)
    (claim,) = take(database, limit=1)
    expire(database)
    stop_reached(database)
    lifecycle.set_state(database, sweep, "cancelled")
    assert claims.unwanted(database, "host:1:1") == {claim.id}


def test_a_job_in_hand_that_is_lost_after_the_limit_is_not_claimed_again(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    limit(database, sweep, until=now_of(database) + HOUR)
    take(database, limit=1)
    expire(database)
    assert stop_reached(database) == ["night"]
    claims.free_owner(database, "host:1:", died=True)
    assert take(database, "host:2:2") == []
    assert {row.priority for row in job_rows(database)} == {None}


def test_an_image_counts_for_the_most_urgent_sweep_that_wants_it(
    database: Database,
) -> None:
    older = submit(database, plan_seeds(1, 2), name="older")
    urgent = submit(database, plan_seeds(2, 3), name="urgent", priority=2)
    limit(database, older, images=9)
    limit(database, urgent, images=9)
    make(database, take(database))
    assert used(database, older) == (1.0, 1)
    assert used(database, urgent) == (2.0, 2)


def test_what_another_sweep_wants_too_is_made_beyond_the_limit(
    database: Database,
) -> None:
    one = submit(database, plan_seeds(1, 2, 3), name="one")
    submit(database, plan_seeds(2, 3), name="other")
    limit(database, one, images=1)
    make(database, take(database, limit=1))
    assert [claim.job.seed for claim in take(database)] == [2, 3]
    assert used(database, one) == (1.0, 1)


def test_a_sweep_at_its_limit_pays_for_nothing_that_another_claims(
    database: Database,
) -> None:
    one = submit(database, plan_seeds(*range(9)), name="one")
    limit(database, one, images=1)
    make(database, take(database, limit=1))
    assert stop_reached(database) == ["one"]
    other = submit(database, plan_seeds(*range(9)), name="other")
    limit(database, other, images=3)
    taken = take(database)
    assert len(taken) == 3
    make(database, taken)
    assert stop_reached(database) == ["other"]
    assert used(database, one) == (1.0, 1)
    assert used(database, other) == (3.0, 3)


def test_references_count_for_the_sweep_that_they_serve(database: Database) -> None:
    sweep = submit(database, plan_seeds(1))
    references = companion_of(database, sweep)
    add_jobs(database, references, plan_seeds(2, 3, 4))
    limit(database, sweep, images=3)
    taken = take(database)
    assert len(taken) == 3
    make(database, taken[:1])
    expire(database)
    stop_reached(database)
    lifecycle.settle_all(database)
    assert claims.unwanted(database, "host:1:1") == set()
    assert state_of(database, references)[0] == "paused"
    make(database, taken[1:])
    assert used(database, sweep) == (3.0, 3)


def test_going_on_after_a_limit_lifts_it_and_before_it_keeps_it(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(*range(6)))
    limit(database, sweep, images=2)
    lifecycle.set_state(database, sweep, "paused")
    lifecycle.set_state(database, sweep, "active")
    make(database, take(database))
    stop_reached(database)
    lifecycle.set_state(database, sweep, "active")
    assert find_budget(database, sweep.id) is None
    assert len(take(database)) == 4


def test_going_on_lifts_a_limit_that_was_reached_while_nobody_worked(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    limit(database, sweep, until=now_of(database) + HOUR)
    lifecycle.set_state(database, sweep, "paused")
    expire(database)
    lifecycle.set_state(database, sweep, "active")
    assert find_budget(database, sweep.id) is None
    assert len(take(database)) == 2


def test_a_limit_that_was_reached_begins_anew_and_another_counts_on(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(*range(9)))
    limit(database, sweep, images=3)
    make(database, take(database, limit=1))
    save_sweep(database, "night", spec="one", axes={}, limits=Limits(images=4))
    assert used(database, sweep) == (1.0, 1)
    make(database, take(database))
    save_sweep(database, "night", spec="one", axes={}, limits=Limits(images=4))
    assert used(database, sweep) == (0.0, 0)
    save_sweep(database, "night", spec="one", axes={})
    assert find_budget(database, sweep.id) is None


def test_a_sweep_that_was_given_more_meanwhile_is_not_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = submit(database, plan_seeds(*range(9)))
    limit(database, sweep, images=1)
    make(database, take(database))
    stop = budgets._stop

    def give_more_first(*args: Any) -> str | None:
        limit(database, sweep, images=5)
        return stop(*args)

    monkeypatch.setattr(budgets, "_stop", give_more_first)
    assert stop_reached(database) == []
    assert state_of(database, sweep) == ("active", None)


@pytest.mark.databases("sqlite")
def test_a_claim_finds_the_jobs_in_hand_by_the_index_of_leases(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    limit(database, sweep, images=1)
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *rest: Any) -> None:
        if "count(*)" in statement:
            asked.append((statement, rest[0]))

    assert len(take(database)) == 1
    assert len(asked) == 2
    for statement, parameters in list(asked):
        with database.read() as connection:
            query = f"EXPLAIN QUERY PLAN {statement}"
            plan = connection.exec_driver_sql(query, parameters).all()
        assert "ix_jobs_leased (owner>?" in "\n".join(row.detail for row in plan)


@pytest.mark.parametrize(("images", "is_asked"), [(9, False), (4, True)])
def test_a_claim_asks_whose_the_jobs_in_hand_are_only_near_the_limit(
    database: Database, images: int, is_asked: bool
) -> None:
    sweep = submit(database, plan_seeds(*range(6)))
    limit(database, sweep, images=images)
    assert len(take(database, limit=2)) == 2
    counts: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "count(*)" in statement:
            counts.append(statement)

    assert len(take(database, limit=3)) == min(images - 2, 3)
    assert any("sweep_jobs" in each for each in counts) == is_asked


@pytest.mark.databases("postgresql")
def test_a_claim_takes_nothing_of_a_sweep_that_is_stopped_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    limit(database, sweep, until=now_of(database) + HOUR)

    def stop_first(connection: sa.Connection, *, wanted: int) -> Allowances:
        expire(database)
        assert stop_reached(database) == ["night"]
        return Allowances(connection, wanted=wanted)

    monkeypatch.setattr(claims, "Allowances", stop_first)
    assert take(database) == []


def test_many_workers_make_exactly_as_many_as_they_may(database: Database) -> None:
    sweep = submit(database, plan_seeds(*range(60)))
    limit(database, sweep, images=23)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        owner = f"host:{number}:{number}"
        try:
            while find_sweep(database, "night").state == "active":  # type: ignore[union-attr]
                taken = take(database, owner, limit=3)
                back, kept = taken[:1], taken[1:] or taken
                if back != kept:
                    ids = [claim.id for claim in back]
                    claims.hand_back(database, owner=owner, ids=ids)
                make(database, kept)
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(states(database).values()).count("done") == 23
    assert used(database, sweep) == (23.0, 23)


def test_a_budget_without_images_yet_has_no_mean_to_go_by() -> None:
    budget = Budget(limits=Limits(gpu_s=10.0))
    assert budget.allow(0.0, in_hand=50) is None
    assert replace(budget, used_s=4.0, made=2).allow(0.0, in_hand=1) == 2
    assert replace(budget, used_s=10.0, made=2).allow(0.0, in_hand=0) == 0
    assert replace(budget, used_s=0.0, made=2).allow(0.0, in_hand=0) is None
