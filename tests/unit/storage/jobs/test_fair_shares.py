"""Fair shares: the GPUs' time goes to owners alike, however many jobs each has."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import claims, lifecycle
from storage.jobs.claims import Claim
from storage.jobs.fair_shares import SLICE_S, order_payers, read_shares
from storage.jobs.owner_uses import select_owners, slot_of
from storage.jobs.owners import note_used
from storage.jobs.quotas import set_quota
from storage.jobs.results import Timings, record_done
from storage.jobs.runnable_groups import compare_owners, runnable_groups
from storage.jobs.sweeps import save_sweep
from storage.sql.database import Database
from storage.sql.schema import NOBODY, jobs, owners
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = replace(SHAPES, fingerprint="1" * 32)


def make(database: Database, taken: list[Claim], *, seconds: float = 1.0) -> None:
    timings = Timings(encode_s=0.0, denoise_s=seconds, decode_s=0.0, save_s=0.0)
    made = {claim.id: make_result(timings=timings) for claim in taken}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def whose(database: Database, taken: list[Claim]) -> Counter[str | None]:
    """Count claimed jobs by the owner that they count for."""
    query = (
        sa.select(owners.c.name)
        .join(jobs, jobs.c.payer_id == owners.c.id)
        .where(jobs.c.id.in_([claim.id for claim in taken]))
    )
    with database.read() as connection:
        return Counter(connection.execute(query).scalars())


def used(database: Database) -> dict[str | None, float]:
    with database.read() as connection:
        rows = connection.execute(select_owners())
        return {row.name: row.used_s for row in rows if row.used_s}


def ranked(database: Database) -> list[str | None]:
    """Return the owners in the order of their turns."""
    with database.read() as connection:
        names = {
            row.id: row.name
            for row in connection.execute(sa.select(owners.c.id, owners.c.name))
        }
        payers = [each for each in names if each != NOBODY]
        return [names[each] for each in order_payers(connection, payers)]


def test_one_sweep_gets_as_much_time_as_ten_of_another_owner(
    database: Database,
) -> None:
    for number in range(10):
        planned = plan_seeds(*range(100 * number, 100 * number + 20))
        submit(database, planned, name=f"a{number}", owner="alice")
    submit(database, plan_seeds(*range(5000, 5040)), name="b", owner="bob")
    for _ in range(16):
        make(database, take(database, limit=4))
    assert used(database) == {"alice": 32.0, "bob": 32.0}


def test_owners_share_seconds_and_not_images(database: Database) -> None:
    submit(database, plan_seeds(*range(100)), name="a", owner="alice")
    submit(database, plan_seeds(*range(500, 600)), name="b", owner="bob")
    for _ in range(24):
        taken = take(database, limit=2)
        slow = "alice" in whose(database, taken)
        make(database, taken, seconds=3.0 if slow else 1.0)
    seconds = used(database)
    assert abs(seconds["alice"] - seconds["bob"]) <= 6.0


def test_two_workers_that_claim_at_once_serve_both_owners(database: Database) -> None:
    submit(database, plan_seeds(*range(20)), name="a", owner="alice")
    submit(database, plan_seeds(*range(50, 70)), name="b", owner="bob")
    first = whose(database, take(database, "host:1:1"))
    second = whose(database, take(database, "host:2:2"))
    assert first + second == {"alice": 4, "bob": 4}


def test_a_claim_stays_whole_and_is_filled_with_the_jobs_of_others(
    database: Database,
) -> None:
    submit(database, plan_seeds(*range(3)), name="a", owner="alice")
    submit(database, plan_seeds(*range(50, 70)), name="b", owner="bob")
    assert whose(database, take(database, limit=8)) == {"alice": 3, "bob": 5}


def test_sweeps_of_one_owner_share_as_before(database: Database) -> None:
    for name, first in (("one", 0), ("two", 100)):
        submit(database, plan_seeds(first, first + 1), name=name, owner="alice")
    submit(database, plan_seeds(*range(500, 502)), name="b", owner="bob")
    taken = [claim.job.seed for claim in take(database, limit=4)]
    assert sorted(taken[:2]) == [0, 100]
    assert sorted(taken[2:]) == [1, 101]


def test_priority_counts_before_the_owner(database: Database) -> None:
    submit(database, plan_seeds(*range(8)), name="a", owner="alice", priority=2)
    submit(database, plan_seeds(*range(50, 58)), name="b", owner="bob")
    make(database, take(database))
    assert whose(database, take(database)) == {"alice": 4}


def test_a_newcomer_comes_first_at_once_and_not_for_long(database: Database) -> None:
    submit(database, plan_seeds(*range(90)), name="a", owner="alice")
    for _ in range(5):
        make(database, take(database), seconds=SLICE_S)
    submit(database, plan_seeds(*range(500, 590)), name="b", owner="bob")
    assert ranked(database) == ["bob", "alice"]
    first = take(database, limit=2)
    assert whose(database, first) == {"bob": 2}
    make(database, first, seconds=SLICE_S / 2 + 1)
    assert ranked(database) == ["alice", "bob"]


def test_who_was_away_saves_nothing_up_beyond_a_slice(database: Database) -> None:
    submit(database, plan_seeds(*range(90)), name="a", owner="alice")
    submit(database, plan_seeds(*range(500, 590)), name="b", owner="bob")
    make(database, take(database, limit=1))
    make(database, take(database, limit=1))
    bobs = save_sweep(database, "b", spec="one", axes={})
    lifecycle.set_state(database, bobs, "paused")
    make(database, take(database, limit=8), seconds=SLICE_S)
    with database.read() as connection:
        shares = sorted(read_shares(connection).values())
    assert shares[-1] - shares[0] == SLICE_S


def test_jobs_of_a_dead_worker_wait_behind_those_of_all_owners(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2), name="a", owner="alice")
    submit(database, plan_seeds(50, 51), name="b", owner="bob")
    taken = take(database, "host:9:9", limit=1)
    assert [claim.job.seed for claim in taken] == [1]
    claims.free_owner(database, "host:9:", died=True)
    assert {claim.job.seed for claim in take(database)} == {2, 50, 51}
    (alone,) = take(database)
    assert alone.job.seed == 1


def test_sweeps_of_nobody_share_as_one_owner(database: Database) -> None:
    for number in range(3):
        submit(database, plan_seeds(number, number + 10), name=f"old{number}")
    submit(database, plan_seeds(*range(500, 506)), name="b", owner="bob")
    for _ in range(4):
        make(database, take(database, limit=1))
    assert used(database) == {None: 2.0, "bob": 2.0}


def groups_of(database: Database) -> dict[str, int]:
    found = compare_owners(database, runnable_groups(database))
    return {group.key: group.slices for group in found}


def test_a_group_whose_owner_had_a_slice_more_comes_later(database: Database) -> None:
    mine = plan_seeds(*range(20))
    others = [make_planned(seed=seed, model=OTHER) for seed in range(500, 520)]
    submit(database, mine, name="a", owner="alice")
    make(database, take(database, limit=2), seconds=SLICE_S)
    submit(database, others, name="b", owner="bob")
    other = others[0].job.group
    # A newcomer's group comes first at once.
    assert groups_of(database) == {make_job().group: 1, other: 0}
    taken = take(database, limit=1, group=other)
    make(database, taken, seconds=10.0)
    # Less than a slice ahead is no reason to change a model.
    assert groups_of(database) == {make_job().group: 0, other: 0}
    make(database, take(database, limit=1, group=other), seconds=2 * SLICE_S)
    assert groups_of(database) == {make_job().group: 0, other: 1}


def test_a_group_is_left_out_while_no_owner_may_claim_more_of_it(
    database: Database,
) -> None:
    others = [make_planned(seed=seed, model=OTHER) for seed in range(500, 520)]
    submit(database, others, name="b", owner="bob")
    other = others[0].job.group
    make(database, take(database, limit=1, group=other), seconds=9 * SLICE_S)
    submit(database, plan_seeds(*range(4)), name="a", owner="alice")
    set_quota(database, "alice", 20.0, period=None)
    make(database, take(database, limit=1), seconds=10.0)
    take(database, limit=1)  # the rest of her quota
    assert set(groups_of(database)) == {other}
    submit(database, plan_seeds(70), name="late", owner="bob", priority=9)
    assert groups_of(database)[make_job().group] > groups_of(database)[other]


def test_groups_of_one_owner_are_not_compared(database: Database) -> None:
    submit(database, [*plan_seeds(1), make_planned(seed=2, width=768)], owner="alice")
    assert set(groups_of(database).values()) == {0}


@pytest.mark.databases("postgresql")
def test_workers_of_one_owner_do_not_wait_for_each_others_commits(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1, 2), name="a", owner="alice")
    slots = {slot_of(f"cpu{number}"): f"cpu{number}" for number in range(9)}
    one, other, *_ = slots.values()
    first, second = (claim.id for claim in take(database))
    with database.write() as open_still:
        note_used(open_still, {first: 1.0}, worker=one)
        with database.write() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
            note_used(connection, {second: 2.0}, worker=other)
    assert used(database) == {sweep.owner: 3.0}


@pytest.mark.databases("sqlite")
def test_a_claim_costs_the_same_however_many_jobs_an_owner_has(
    database: Database,
) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def submit_and_claim(seeds: range) -> int:
        nonlocal steps
        for owner, first in (("alice", 0), ("bob", 10_000)):
            planned = plan_seeds(*range(first + seeds.start, first + seeds.stop))
            submit(database, planned, name=f"{owner}{seeds.start}", owner=owner)
        steps = 0
        compare_owners(database, runnable_groups(database))
        assert len(take(database, limit=4)) == 4
        return steps

    @sa.event.listens_for(database.engine, "checkout")
    def _watch(connection: Any, *_rest: Any) -> None:
        connection.set_progress_handler(count, 10)

    set_quota(database, "alice", 1e6, period=None)
    few = submit_and_claim(range(20))
    assert submit_and_claim(range(100, 1100)) < 1.5 * few
