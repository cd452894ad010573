"""The registry of workers, and whether there is work for them."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from storage.fleet import registry
from storage.fleet.registry import Entry
from storage.jobs import blocked_groups
from storage.sql.database import Database
from storage.sql.schema import workers
from tests.builders import make_job, make_planned, submit, take

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ENTRY = Entry(
    owner="night3.1f2e:4711:5025",
    name="gpu0",
    host="night3",
    gpu="H200",
    phase="painting",
    detail="builtin:shapes",
    images=7,
    images_per_s=1.5,
    started_at="2026-01-02T03:04:05.678901+00:00",
    phase_at="2026-01-02T03:05:05.678901+00:00",
)


def rows(database: Database) -> list[Any]:
    with database.read() as connection:
        query = sa.select(workers).order_by(workers.c.owner)
        return list(connection.execute(query).all())


def test_a_workers_row_is_written_anew_each_time(database: Database) -> None:
    registry.note(database, replace(ENTRY, phase="loading", images=0))
    first = rows(database)[0].seen_at
    registry.note(database, ENTRY)
    (row,) = rows(database)
    assert row.seen_at >= first
    assert (
        row._mapping.items()
        >= {
            **{name: getattr(ENTRY, name) for name in ("owner", "name", "host", "gpu")},
            **{name: getattr(ENTRY, name) for name in ("phase", "detail", "images")},
            **{name: getattr(ENTRY, name) for name in ("images_per_s", "phase_at")},
        }.items()
    )


def test_a_worker_is_announced_until_it_writes_itself(database: Database) -> None:
    registry.announce(database, replace(ENTRY, phase="starting"))
    assert [row.phase for row in rows(database)] == ["starting"]
    registry.note(database, ENTRY)
    registry.announce(database, replace(ENTRY, phase="starting"))
    assert [row.phase for row in rows(database)] == ["painting"]


def test_a_worker_that_is_gone_is_removed_by_the_beginning_of_its_name(
    database: Database,
) -> None:
    registry.note(database, ENTRY)
    registry.note(database, replace(ENTRY, owner="night3.1f2e:47110:1"))
    registry.remove(database, "night3.1f2e:4711:")
    assert [row.owner for row in rows(database)] == ["night3.1f2e:47110:1"]


def test_anybody_removes_the_dead_of_this_host_and_who_was_silent_for_a_day(
    database: Database, other: "subprocess.Popen[str]"
) -> None:
    assert other.stdout
    here = other.stdout.readline().strip()
    registry.note(database, replace(ENTRY, owner=here))
    registry.note(database, ENTRY)
    registry.remove_the_gone(database)
    assert len(rows(database)) == 2
    other.kill()
    other.wait()
    registry.remove_the_gone(database)
    assert [row.owner for row in rows(database)] == [ENTRY.owner]
    with database.write() as connection:
        connection.execute(sa.update(workers).values(seen_at="2026-01-02T03:04:05"))
    registry.remove_the_gone(database)
    assert rows(database) == []


def test_a_worker_is_alive_until_it_is_silent_or_known_to_be_dead(
    database: Database, other: "subprocess.Popen[str]"
) -> None:
    assert not registry.living_backends(database)
    assert other.stdout
    here = other.stdout.readline().strip()
    registry.note(database, replace(ENTRY, owner=here))
    assert registry.living_backends(database)
    other.kill()
    other.wait()
    assert not registry.living_backends(database)
    registry.note(database, ENTRY)  # of another host
    assert registry.living_backends(database)
    with database.write() as connection:
        connection.execute(sa.update(workers).values(seen_at="2026-01-02T03:04:05"))
    assert not registry.living_backends(database)


def test_what_a_worker_holds_is_known_by_the_beginning_of_its_name(
    database: Database,
) -> None:
    submit(database, [make_planned(seed=seed, position=seed) for seed in range(4)])
    held = {claim.id for claim in take(database, "host:1:1", limit=2)}
    take(database, "host:11:1", limit=1)
    assert registry.held_by(database, "host:1:") == held
    assert registry.held_by(database, "host:2:") == frozenset()


def test_there_is_work_as_long_as_a_worker_of_the_host_may_make_it(
    database: Database,
) -> None:
    assert not registry.has_work(database, "night3")
    submit(database, [make_planned(seed=1), make_planned(seed=2, width=64)])
    assert registry.has_work(database, "night3")
    assert len(take(database, group=make_job(width=64).group)) == 1
    group = make_job().group
    for name in ("gpu0", "gpu1"):
        registry.note(database, replace(ENTRY, owner=name, name=name))
    for host, name in (("night4", "gpu0"), ("night4", "gpu1"), ("night3", "gpu0")):
        blocked_groups.block(
            database, group, host=host, worker=name, reason="it is not there"
        )
        assert registry.has_work(database, "night3")
    blocked_groups.block(
        database, group, host="night3", worker="gpu1", reason="no memory"
    )
    assert not registry.has_work(database, "night3")
    blocked_groups.lift(database, group, host="night3", worker="gpu1")
    assert registry.has_work(database, "night3")


def test_a_worker_that_restarts_or_is_silent_is_not_waited_for(
    database: Database,
) -> None:
    submit(database, [make_planned(seed=1)])
    for name in ("gpu0", "gpu1", "gpu2"):
        phase = "backoff" if name == "gpu1" else "idle"
        registry.note(database, replace(ENTRY, owner=name, name=name, phase=phase))
    long_ago = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    with database.write() as connection:
        of_third = sa.update(workers).where(workers.c.name == "gpu2")
        connection.execute(of_third.values(seen_at=long_ago))
    group = make_job().group
    blocked_groups.block(
        database, group, host="night3", worker="gpu0", reason="it is not there"
    )
    assert not registry.has_work(database, "night3")


FLAX_JOB = {"backend": "flax", "generator": "numpy"}


def test_workers_have_work_only_if_jobs_of_their_back_end_wait(
    database: Database,
) -> None:
    submit(database, [make_planned(**FLAX_JOB)])
    assert registry.has_work(database, "night3", "flax")
    assert not registry.has_work(database, "night3", "torch")


def test_a_back_end_is_unserved_while_its_jobs_wait_and_no_worker_of_it_is_alive(
    database: Database,
) -> None:
    assert registry.unserved_backends(database) == []
    submit(database, [make_planned(seed=1), make_planned(**FLAX_JOB)])
    assert registry.unserved_backends(database) == ["flax", "torch"]
    assert registry.unserved_backends(database, also=["flax"]) == ["torch"]
    registry.note(database, ENTRY)
    assert registry.unserved_backends(database) == ["flax"]
    registry.note(database, replace(ENTRY, owner="far:1:1", backend="flax"))
    assert registry.living_backends(database) == {"torch", "flax"}
    assert registry.unserved_backends(database) == []


def test_workers_of_another_back_end_are_not_expected_to_make_a_group(
    database: Database,
) -> None:
    flax = make_job(**FLAX_JOB)
    submit(database, [make_planned(seed=1), make_planned(**FLAX_JOB)])
    for name, backend in (("gpu0", "torch"), ("flax0", "flax")):
        entry = replace(ENTRY, owner=name, name=name, backend=backend)
        registry.note(database, entry)
    for group, name in ((flax.group, "flax0"), (make_job().group, "gpu0")):
        assert group not in registry.blocked_by_all(database, "night3")
        blocked_groups.block(
            database, group, host="night3", worker=name, reason="no memory"
        )
        assert group in registry.blocked_by_all(database, "night3")
