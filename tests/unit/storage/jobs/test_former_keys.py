"""Former keys: a row that means the same picture is taken, whatever its key."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from storage.job import PlannedJob
from storage.jobs.membership import (
    MEMBER_ROWS,
    Added,
    add_jobs,
    drop_absent,
    find_known,
)
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import save_sweep
from storage.sql.database import Database
from storage.sql.schema import jobs, prompts, sweep_jobs
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
    take_these,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

#: Two older wordings of one picture, and what it is called today.
OLD, OLDER = make_planned(negative_prompt="ugly"), make_planned(negative_prompt="blur")
NEW = make_planned(former_keys=(OLDER.job.key, OLD.job.key), cell={"steps": "20"})


def add(database: Database, *planned: PlannedJob, name: str = "new") -> Added:
    sweep = save_sweep(database, name, spec=repr(len(planned)), axes={})
    return add_jobs(database, sweep, planned)


def finish(database: Database, planned: PlannedJob) -> None:
    (claim,) = take_these(database, [planned.job.key])
    result = make_result()
    record_done(database, {claim.id: result}, worker="cpu0", environment=ENVIRONMENT)


def members(database: Database, name: str = "new") -> Sequence[str]:
    query = sa.text("SELECT key FROM sweep_images WHERE sweep = :name ORDER BY key")
    with database.read() as connection:
        return list(connection.execute(query, {"name": name}).scalars())


def count_rows(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(table)
        return int(connection.execute(query).scalar_one())


def test_a_finished_row_of_a_former_key_is_not_made_again(database: Database) -> None:
    submit(database, [OLD], name="old")
    finish(database, OLD)
    added = add(database, NEW)
    assert (added.fresh, added.existing) == ([], {"done": 1})
    assert members(database) == [OLD.job.key]
    assert take(database) == []


def test_nothing_is_inserted_for_a_row_that_is_taken(database: Database) -> None:
    submit(database, [OLD], name="old")
    add(database, NEW)
    assert count_rows(database, jobs) == count_rows(database, prompts) == 1


def test_a_pending_row_of_a_former_key_is_wanted_too(database: Database) -> None:
    submit(database, [OLD], name="old")
    changed = submit(database, plan_seeds(1), name="old", spec="two")
    assert drop_absent(database, changed) == 1
    assert add(database, NEW).existing == {"pending": 1}
    assert [row.priority for row in job_rows(database)] == [5, 5]
    assert OLD.job.key in {claim.job.key for claim in take(database)}


def test_the_membership_says_where_the_row_stands_now(database: Database) -> None:
    submit(database, [OLD], name="old")
    add(database, NEW)
    query = sa.select(sweep_jobs.c.cell).order_by(sweep_jobs.c.sweep_id)
    with database.read() as connection:
        cells = list(connection.execute(query).scalars())
    assert cells == ["{}", '{"steps": "20"}']


def test_a_finished_row_wins_over_a_pending_one(database: Database) -> None:
    submit(database, [OLDER, OLD], name="old")
    finish(database, OLD)
    assert add(database, NEW).existing == {"done": 1}
    assert members(database) == [OLD.job.key]


def test_a_failed_row_is_the_last_to_be_taken(database: Database) -> None:
    submit(database, [OLDER, OLD], name="old")
    (claim,) = take_these(database, [OLDER.job.key])
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    assert add(database, NEW).existing == {"pending": 1}
    assert members(database) == [OLD.job.key]


def test_a_row_under_the_present_key_wins_over_all(database: Database) -> None:
    submit(database, [OLD], name="old")
    finish(database, OLD)
    submit(database, [make_planned()], name="plain")
    assert add(database, NEW).existing == {"pending": 1}
    assert members(database) == [NEW.job.key]


def test_without_a_row_the_job_is_new_under_its_present_key(
    database: Database,
) -> None:
    added = add(database, NEW)
    assert (added.fresh, added.existing) == ([NEW], {})
    assert members(database) == [NEW.job.key]


def test_submitting_again_takes_the_same_row_again(database: Database) -> None:
    submit(database, [OLD], name="old")
    add(database, NEW)
    before = job_rows(database)
    assert add(database, NEW).existing == {"pending": 1}
    assert job_rows(database) == before
    assert members(database) == [OLD.job.key]


def test_a_taken_row_stays_when_unmade_ones_leave(database: Database) -> None:
    submit(database, [OLD, OLDER], name="new", spec="before")
    sweep = save_sweep(database, "new", spec="after", axes={})
    add_jobs(database, sweep, [NEW])
    assert drop_absent(database, sweep) == 1
    assert members(database) == [OLDER.job.key]
    assert count_states(database, sweep) == {"pending": 1}


def test_thousands_of_former_keys_are_found(database: Database) -> None:
    old = plan_seeds(*range(MEMBER_ROWS), negative_prompt="ugly")
    submit(database, old, name="old")
    planned = [
        make_planned(
            seed=one.job.seed,
            position=one.position,
            former_keys=(*(f"{n:032x}" for n in range(one.job.seed % 3)), one.job.key),
        )
        for one in old
    ]
    added = add(database, *planned)
    assert (len(added.fresh), added.existing) == (0, {"pending": MEMBER_ROWS})
    assert members(database) == sorted(one.job.key for one in old)


def test_a_look_at_known_rows_writes_nothing(database: Database) -> None:
    submit(database, [OLD], name="old")
    with database.read() as connection:
        known = find_known(connection, [NEW, make_planned(seed=9)])
    assert {key: row.key for key, row in known.items()} == {NEW.job.key: OLD.job.key}
