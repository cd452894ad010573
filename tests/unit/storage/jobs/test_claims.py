"""Claims: no job is made by two workers, and none is forgotten."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import claims
from storage.jobs.claims import Claim
from storage.jobs.runnable_groups import groups_of, runnable_groups
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.leases import MAX_DEATHS
from storage.sql.schema import jobs
from tests.builders import (
    SHAPES,
    job_rows,
    make_job,
    make_planned,
    plan_seeds,
    states,
    submit,
    take,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def seeds(taken: list[Claim]) -> list[int]:
    return [claim.job.seed for claim in taken]


def die(database: Database, *wanted: int, times: int = 1) -> None:
    """Let a worker die that many times with the jobs of these seeds."""
    keys = [make_job(seed=seed).key for seed in wanted]
    for _ in range(times):
        take_these(database, keys, "host:9:9")
        claims.free_owner(database, "host:9:", died=True)


def test_the_most_urgent_come_first_then_the_first_in_order(database: Database) -> None:
    submit(database, plan_seeds(1, 2), name="later", priority=7)
    submit(database, plan_seeds(3, 4), name="sooner", priority=2)
    assert seeds(take(database)) == [3, 4, 1, 2]


def test_a_claim_carries_the_job_as_it_was_planned(database: Database) -> None:
    planned = make_planned(prompt="ein Kätzchen", extras={"eta": 0.5})
    submit(database, [planned])
    (claim,) = take(database)
    assert claim.job == planned.job
    assert (claim.attempts, claim.is_suspect) == (1, False)
    assert claim.evaluations == planned.evaluations
    assert claim.created_at < claim.claimed_at


def test_no_more_than_the_limit_are_taken(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    assert seeds(take(database, limit=2)) == [1, 2]
    assert seeds(take(database, limit=2)) == [3]
    assert take(database) == []


def test_only_jobs_of_the_group_are_taken(database: Database) -> None:
    submit(database, [*plan_seeds(1), make_planned(seed=2, width=768)])
    assert seeds(take(database)) == [1]


def test_naming_nothing_takes_nothing(database: Database) -> None:
    submit(database, plan_seeds(1))
    assert take(database, group=None) == []


def test_the_groups_of_keys_are_those_of_jobs_that_exist(database: Database) -> None:
    wide = make_planned(seed=2, width=768)
    submit(database, [*plan_seeds(1), wide, *plan_seeds(3, height=768)])
    keys = ["0" * 32, make_job(seed=1).key, wide.job.key]
    groups = {make_job().group, wide.job.group}
    assert groups_of(database, keys) == groups
    assert groups_of(database, ["0" * 32]) == set()


def test_the_longest_come_first_where_that_is_asked(database: Database) -> None:
    lengths = {1: 20, 2: 50, 3: 8, 4: 50}
    planned = [
        make_planned(seed=seed, position=seed, evaluations=count)
        for seed, count in lengths.items()
    ]
    submit(database, planned)
    urgent = make_planned(seed=9, evaluations=1)
    submit(database, [urgent], name="urgent", priority=1)
    assert seeds(take(database, limit=3, longest_first=True)) == [9, 2, 4]
    assert seeds(take(database, longest_first=True)) == [1, 3]


def test_who_holds_others_takes_no_job_whose_worker_died(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    die(database, 1)
    assert seeds(take(database, fresh=True)) == [2]
    assert take(database, fresh=True) == []
    (claim,) = take(database)
    assert claim.is_suspect


def test_a_job_whose_worker_died_comes_last_however_long_it_is(
    database: Database,
) -> None:
    submit(database, [*plan_seeds(1, evaluations=99), *plan_seeds(2, 3)])
    die(database, 1)
    assert seeds(take(database, longest_first=True)) == [2, 3]
    assert seeds(take(database, longest_first=True)) == [1]


def test_runnable_jobs_are_counted_up_to_what_is_asked(database: Database) -> None:
    submit(database, [*plan_seeds(1, 2, 3), make_planned(seed=4, width=768)])
    take(database, limit=1)
    group = make_job().group
    assert claims.count_runnable(database, group, up_to=9) == 2
    assert claims.count_runnable(database, group, up_to=1) == 1
    assert claims.count_runnable(database, "0" * 16, up_to=9) == 0


def test_groups_with_runnable_jobs_are_listed_with_their_most_urgent(
    database: Database,
) -> None:
    other = replace(SHAPES, fingerprint="1" * 32)
    planned = {
        (5, 0): make_planned(seed=1),
        (5, 1): make_planned(seed=2, width=768),
        (5, 2): make_planned(seed=3, dtype="float32"),
        (3, 3): make_planned(seed=4, model=other),
    }
    submit(database, [one for (rank, _), one in planned.items() if rank == 5])
    urgent = [make_planned(seed=5), planned[3, 3]]
    submit(database, urgent, name="urgent", priority=3)
    take(database, group=planned[5, 2].job.group)
    found = {group.key: group for group in runnable_groups(database)}
    same, wide, gone, unlike = (one.job.group for one in planned.values())
    assert gone not in found
    assert {key: group.priority for key, group in found.items()} == {
        same: 3,
        wide: 5,
        unlike: 3,
    }
    assert found[same].kind == found[wide].kind
    assert found[same].kind != found[unlike].kind


def test_a_job_that_no_sweep_wants_is_never_taken(database: Database) -> None:
    submit(database, plan_seeds(1))
    with database.write() as connection:
        connection.execute(sa.update(jobs).values(priority=None))
    assert take(database) == []


def test_a_job_whose_worker_died_comes_last_and_alone(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    die(database, 1)
    assert seeds(take(database)) == [2, 3]
    assert seeds(take(database)) == [1]


def test_claimers_at_the_same_time_never_share_a_job(settings: Settings) -> None:
    database = open_database(settings.database_url)
    submit(database, plan_seeds(*range(120)))
    taken: dict[str, list[int]] = {}
    start = threading.Barrier(4)

    def work(owner: str) -> None:
        own = open_database(settings.database_url)
        start.wait()
        while found := take(own, owner, limit=3):
            taken.setdefault(owner, []).extend(seeds(found))
        own.close()

    threads = [threading.Thread(target=work, args=(f"h:{n}:1",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*taken.values())) == list(range(120))
    owned = {row.seed: row.owner for row in job_rows(database)}
    assert owned == {seed: owner for owner in taken for seed in taken[owner]}
    database.close()


def test_renewing_tells_which_jobs_are_still_held(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    one, other = take(database, "host:1:1", limit=1) + take(database, "host:2:2")
    kept = claims.renew(
        database, owner="host:1:1", ids=[one.id, other.id], lease_s=1000
    )
    assert kept == {one.id}
    first, second = job_rows(database)
    assert first.lease_until > second.lease_until


def test_a_renewed_lease_does_not_expire(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database, lease_s=-1)
    claims.renew(database, owner="host:1:1", ids=[claim.id], lease_s=90)
    assert claims.free_expired(database) == 0


def test_a_job_that_was_handed_back_counts_no_attempt(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    one, other = take(database)
    claims.hand_back(database, owner="host:1:1", ids=[one.id])
    assert states(database) == {1: "pending", 2: "leased"}
    assert seeds(take(database)) == [1]
    assert [row.attempts for row in job_rows(database)] == [1, 1]
    assert other.attempts == 1


def test_nobody_hands_back_the_job_of_another(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database, "host:1:1")
    claims.hand_back(database, owner="host:2:2", ids=[claim.id])
    assert states(database) == {1: "leased"}


def test_silence_frees_a_job_and_counts_no_attempt(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    take(database, "host:1:1", limit=1, lease_s=-1)
    take(database, "host:2:2", limit=1)
    assert claims.free_expired(database) == 1
    (first, second) = job_rows(database)
    assert (first.state, first.owner, first.attempts) == ("pending", None, 0)
    assert (second.state, second.owner) == ("leased", "host:2:2")


def test_three_deaths_alone_set_a_job_aside(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    die(database, 1, times=MAX_DEATHS - 1)
    assert states(database) == {1: "pending", 2: "pending"}
    die(database, 1)
    assert states(database) == {1: "quarantined", 2: "pending"}
    assert job_rows(database)[0].error == (
        "its worker died 3 times with this job alone; see the worker's log, then "
        "try it again with `nightsweep retry`"
    )
    assert seeds(take(database)) == [2]


def test_a_death_in_company_sets_nothing_aside(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    assert len(take(database, "host:1:1")) == 3
    assert claims.free_owner(database, "host:1:1", died=True) == 3
    assert {(row.attempts, row.deaths) for row in job_rows(database)} == {(1, 0)}


def test_jobs_of_a_worker_that_died_come_last_and_one_by_one(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2))
    take(database, "host:1:1")
    claims.free_owner(database, "host:1:1", died=True)
    submit(database, plan_seeds(1, 2, 3, 4))
    assert seeds(take(database)) == [3, 4]
    assert seeds(take(database)) == [1]
    assert seeds(take(database)) == [2]


def test_ends_that_are_no_deaths_never_set_a_job_aside(database: Database) -> None:
    submit(database, plan_seeds(1))
    for _ in range(MAX_DEATHS + 1):
        take(database, "host:1:1")
        assert claims.free_owner(database, "host:1:1", died=False) == 1
    assert [(row.state, row.attempts) for row in job_rows(database)] == [("pending", 0)]


def test_jobs_that_a_device_failed_with_come_last_and_later_one_by_one(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    fail_with(database, limit=2)
    assert seeds(fail_with(database)) == [3, 1, 2]
    assert {row.seed: row.attempts for row in job_rows(database)} == {1: 1, 2: 1, 3: 0}
    assert [seeds(take(database)) for _ in range(3)] == [[3], [1], [2]]


def test_a_device_that_fails_with_all_makes_few_of_them_suspects(
    database: Database,
) -> None:
    submit(database, plan_seeds(*range(12)))
    for _ in range(20):
        fail_with(database, limit=3)
    rows = job_rows(database)
    assert sum(row.attempts > 0 for row in rows) == 3
    assert {(row.state, row.deaths) for row in rows} == {("pending", 0)}


def fail_with(database: Database, *, limit: int = 9) -> list[Claim]:
    claimed = take(database, "host:1:1", limit=limit)
    ids = [one.id for one in claimed]
    claims.hand_back(database, owner="host:1:1", ids=ids, suspected=True)
    return claimed


def test_a_process_frees_its_own_jobs_only(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    for owner in ("h_1:12:5", "h_1:123:5", "hx1:12:5"):
        take(database, owner, limit=1)
    assert claims.free_owner(database, "h_1:12:", died=True) == 1
    assert states(database) == {1: "pending", 2: "leased", 3: "leased"}


def test_everybody_who_holds_a_job_is_named_once(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3, 4))
    take(database, "host:1:1", limit=2)
    take(database, "host:2:2", limit=1)
    assert claims.leased_owners(database) == {"host:1:1", "host:2:2"}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("act", "index"),
    [
        (take, "ix_jobs_runnable (group_key=?"),
        (
            lambda database: take(database, fresh=True, longest_first=True),
            "ix_jobs_runnable (group_key=?",
        ),
        (
            lambda database: claims.count_runnable(database, "a", up_to=9),
            "ix_jobs_runnable (group_key=?",
        ),
        (runnable_groups, "ix_jobs_runnable (group_key>?"),
        (claims.free_expired, "ix_jobs_leased (owner>?)"),
        (claims.leased_owners, "ix_jobs_leased"),
        (
            lambda database: claims.unwanted(database, "host:1:1"),
            "ix_jobs_leased (owner=?)",
        ),
        (
            lambda database: claims.free_owner(database, "host:1:", died=True),
            "ix_jobs_leased",
        ),
    ],
)
def test_what_workers_ask_all_the_time_reads_no_finished_job(
    database: Database, act: Callable[[Database], object], index: str
) -> None:
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *rest: Any) -> None:
        is_of_jobs = "FROM budgets" not in statement and "FROM owners" not in statement
        if statement.startswith(("SELECT", "UPDATE")) and is_of_jobs:
            asked.append((statement, rest[0]))

    act(database)
    statements = list(asked)
    with database.read() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
            assert index in "\n".join(row.detail for row in plan)
