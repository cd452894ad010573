"""PostgreSQL: the same tables, views, claims and results as on SQLite."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage import claims
from storage.database import (
    HEAD,
    Database,
    current_revision,
    open_database,
    open_for_reading,
)
from storage.errors import DatabaseError
from storage.partial_indexes import metadata
from storage.results import record_done, record_failure
from storage.speeds import read, record
from storage.sweeps import (
    Cost,
    count_states,
    failures,
    measured_costs,
    recent_rate,
    retry,
    runnable_keys,
)
from storage.views import select_images, select_sweep_images
from storage.widths import DatabaseWidths
from storage.wishes import drop_absent
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    job_rows,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
)
from tests.unit.old_database import make_old, read_old
from tests.unit.test_job import GOLDEN
from tests.unit.test_speeds import make_speed


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()


def in_threads(*acts: Any) -> None:
    """Do all at once; raise the first error of any."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(acts))

    def do(act: Any) -> None:
        start.wait()
        try:
            act()
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def done(database: Database, *ids: int) -> set[int]:
    made = {job_id: make_result() for job_id in ids}
    return record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def test_the_migrations_make_the_schema_and_the_views(database: Database) -> None:
    assert current_revision(database) == HEAD
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        for view, query in (
            ("images", select_images()),
            ("sweep_images", select_sweep_images()),
        ):
            everything = sa.select(sa.text("*")).select_from(sa.table(view))
            shown = list(connection.execute(everything).keys())
            assert shown == list(connection.execute(query).keys())


def test_an_older_database_is_upgraded_with_its_rows(url: str) -> None:
    make_old(url)
    database = open_database(url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    image, member = read_old(database)
    assert (image["path"], image["total_s"], image["gpu"]) == ("ab/k.png", 1.5, "CPU")
    assert (image["engine"], image["decode_dtype"]) == ("plain", "")
    assert member == {**image, "position": 7, "scheduler_label": None, "cell": "{}"}
    database.close()


def test_a_new_database_may_be_opened_by_several_at_once(url: str) -> None:
    in_threads(*[lambda: open_database(url).close()] * 3)
    reader = open_for_reading(url)
    assert reader is not None
    reader.close()


def test_an_empty_database_is_none_to_a_reader(url: str) -> None:
    assert open_for_reading(url) is None


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    url = "postgresql+psycopg://me:geheim@127.0.0.1:1/db"
    with pytest.raises(
        DatabaseError, match=r"must be reachable and writable, but postgresql\+"
    ) as caught:
        open_database(url)
    assert "geheim" not in str(caught.value)


def test_golden_jobs_come_back_with_the_same_keys(database: Database) -> None:
    planned = [make_planned(**changes) for changes, _ in GOLDEN]
    submit(database, planned)
    keys = [one.job.key for one in planned]
    found: set[str] = set()
    while taken := take(database, limit=9, group=None, keys=keys):
        found.update(claim.job.key for claim in taken)
    assert found == set(keys)


def test_a_job_goes_its_way(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2, 3, 4))
    one, two, three = take(database, limit=3)
    assert [claim.job.seed for claim in (one, two, three)] == [1, 2, 3]
    assert claims.renew(
        database, owner="host:1:1", ids=[one.id, two.id], lease_s=90
    ) == {one.id, two.id}
    assert done(database, one.id) == {one.id}
    assert done(database, one.id) == set()
    record_failure(database, two.id, owner="host:1:1", error="latents are NaN")
    claims.hand_back(database, owner="host:1:1", ids=[three.id])
    assert states(database) == {1: "done", 2: "failed", 3: "pending", 4: "pending"}
    assert count_states(database, sweep) == {"done": 1, "failed": 1, "pending": 2}
    assert failures(database, sweep) == [("latents are NaN", 1)]
    assert sum(map(len, retry(database, sweep).values())) == 1


def test_a_feed_asks_what_is_left_and_where(database: Database) -> None:
    lengths = {1: 20, 2: 50, 3: 8}
    planned = [
        make_planned(seed=seed, position=seed, evaluations=count)
        for seed, count in lengths.items()
    ]
    submit(database, [*planned, make_planned(seed=4, width=768)])
    group = make_job().group
    assert claims.count_runnable(database, group, up_to=9) == 3
    assert claims.count_runnable(database, group, up_to=2) == 2
    found = claims.runnable_groups(database)
    assert sorted(each.key for each in found) == sorted(
        {group, make_job(width=768).group}
    )
    assert len({each.kind for each in found}) == 1
    assert claims.groups_of(database, [make_job(seed=1).key, "0" * 32]) == {group}
    longest = take(database, limit=2, longest_first=True, fresh=True)
    assert [claim.job.seed for claim in longest] == [2, 1]
    claims.free_owner(database, "host:1:", died=True)
    fresh = take(database, fresh=True)
    assert [claim.job.seed for claim in fresh] == [3]
    assert take(database, fresh=True) == []
    (suspect,) = take(database, longest_first=True)
    assert (suspect.job.seed, suspect.is_suspect) == (2, True)


def test_the_view_shows_a_finished_image(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    done(database, claim.id)
    with database.read() as connection:
        row = connection.execute(sa.text("SELECT * FROM images")).mappings().one()
    assert (row["key"], row["sweep"]) == (make_job(seed=1).key, "night")
    assert (row["state"], row["gpu"], row["total_s"]) == ("done", "CPU", 1.0)
    assert row["finished_at"] == "2026-01-02T03:04:05.678901+00:00"


def test_memory_only_lowers_a_width_whoever_comes_first(database: Database) -> None:
    known = DatabaseWidths(database)
    known.set(make_job(), "H200", width=64, reason="calibrated", images_per_s=27.5)

    def note(width: int) -> None:
        known.set(make_job(), "H200", width=width, reason="memory")

    in_threads(*[lambda width=width: note(width) for width in (32, 8, 16)])
    assert known.get(make_job(), "H200") == 8
    known.set(make_job(), "H200", width=16, reason="calibrated", images_per_s=9.5)
    assert known.get(make_job(), "H200") == 16
    assert known.get(make_job(guidance=1), "H200") is None


def test_speeds_are_replaced_when_measured_again(database: Database) -> None:
    again = make_speed(median_s=0.375, scheduler_options={"eta": 1})
    first = [make_speed(steps=8), replace(again, median_s=1.5)]
    record(database, first, environment=ENVIRONMENT)
    record(database, [again], environment=ENVIRONMENT)
    assert read(database, model="SHAPES", gpu="cpu") == [make_speed(steps=8), again]


def test_what_a_plan_asks_is_answered(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    done(database, *(claim.id for claim in take(database, limit=1)))
    kind = (SHAPES.fingerprint, "float16", 512, 512)
    cost = Cost(evaluation_s=0.05, image_bytes=1000)
    assert measured_costs(database) == {kind: cost}
    assert recent_rate(database, sweep) == 0
    assert runnable_keys(database, limit=9) == {
        make_job().group: [make_job(seed=2).key]
    }


def test_the_silent_and_the_dead_are_freed(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    take(database, "h_1:1:1", lease_s=-1, limit=1)
    take(database, "h_1:12:1", limit=1)
    take(database, "hx1:12:1", limit=1)
    assert claims.free_expired(database) == 1
    assert claims.free_owner(database, "h_1:12:", died=True) == 1
    assert claims.leased_owners(database) == {"hx1:12:1"}
    assert {row.seed: row.attempts for row in job_rows(database)} == {1: 0, 2: 1, 3: 1}


def test_unmade_jobs_of_an_older_spec_leave(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    done(database, *(claim.id for claim in take(database, limit=1)))
    sweep = submit(database, plan_seeds(3), spec="two")
    assert sweep.revision == 2
    assert drop_absent(database, sweep) == 1
    assert [row.priority for row in job_rows(database)] == [5, None, 5]


def test_claimers_at_the_same_time_never_share_a_job(database: Database) -> None:
    submit(database, plan_seeds(*range(120)))
    taken: list[int] = []

    def work() -> None:
        while found := take(database, f"h:{threading.get_ident()}:1", limit=3):
            taken.extend(claim.job.seed for claim in found)

    in_threads(*[work] * 4)
    assert sorted(taken) == list(range(120))


def test_producers_at_the_same_time_do_not_block_each_other(
    database: Database,
) -> None:
    planned = plan_seeds(*range(300))
    in_threads(
        lambda: submit(database, planned),
        lambda: submit(database, planned[::-1]),
        lambda: submit(database, planned[::-1], name="other"),
    )
    assert states(database) == dict.fromkeys(range(300), "pending")
