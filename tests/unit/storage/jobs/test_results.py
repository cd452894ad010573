"""Results: the first to finish a job counts, once."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs import claims
from storage.jobs.results import record_done, record_failure
from storage.sql.database import Database, utc_now
from storage.sql.schema import environments, results
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_planned,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def done(database: Database, *ids: int, worker: str = "cpu0") -> set[int]:
    made = {job_id: make_result() for job_id in ids}
    return record_done(database, made, worker=worker, environment=ENVIRONMENT)


def rows_of(database: Database, table: sa.Table) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(table)))


def image_of(database: Database) -> dict[str, Any]:
    with database.read() as connection:
        row = connection.exec_driver_sql("SELECT * FROM images").mappings().one()
        return dict(row)


def test_a_finished_job_is_done_and_nobodys(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    assert done(database, claim.id) == {claim.id}
    (row,) = job_rows(database)
    assert (row.state, row.owner, row.lease_until) == ("done", None, None)
    assert row.total_s == make_result().timings.total_s
    assert take(database) == []


def test_finishing_a_job_again_changes_nothing(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    one, other = take(database)
    done(database, one.id, worker="first")
    assert done(database, one.id, other.id, worker="second") == {other.id}
    assert [row.worker for row in rows_of(database, results)] == ["first", "second"]


def test_an_image_counts_though_its_lease_was_lost(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database, "host:1:1", lease_s=-1)
    claims.free_expired(database)
    take(database, "host:2:2")
    assert done(database, claim.id) == {claim.id}
    assert claims.renew(database, owner="host:2:2", ids=[claim.id], lease_s=9) == set()
    assert done(database, claim.id) == set()


def test_an_image_counts_though_another_worker_failed(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    done(database, claim.id)
    (row,) = job_rows(database)
    assert (row.state, row.error) == ("done", None)


def test_a_failure_keeps_its_reason(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    (row,) = job_rows(database)
    assert (row.state, row.owner, row.error) == ("failed", None, "latents are NaN")


def test_only_the_owner_of_a_job_can_fail_it(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database, "host:1:1")
    record_failure(database, claim.id, owner="host:2:2", error="latents are NaN")
    assert states(database) == {1: "leased"}


def test_a_failure_never_undoes_an_image(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    done(database, claim.id)
    record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    assert states(database) == {1: "done"}


def test_an_environment_is_stored_once(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    one, two, three = take(database)
    done(database, one.id)
    done(database, two.id)
    other = replace(ENVIRONMENT, details={"torch": "2.14.0"})
    record_done(database, {three.id: make_result()}, worker="cpu0", environment=other)
    assert len(rows_of(database, environments)) == 2


def test_the_view_shows_names_and_not_ids(database: Database) -> None:
    changes = {"negative_prompt": "lowres", "scheduler_options": {"eta": 1}}
    submit(database, [make_planned(scheduler_label="mine", **changes)])
    (claim,) = take(database)
    done(database, claim.id)
    shown = image_of(database)
    assert shown["key"] == claim.job.key
    assert shown["sweep"] == "night"
    assert shown["model"] == "builtin:shapes"
    assert (shown["prompt"], shown["negative_prompt"]) == ("a cat", "lowres")
    assert shown["scheduler"] == "ddim"
    assert shown["scheduler_class"] == "DDIMScheduler"
    assert shown["scheduler_options"] == '{"eta":1}'
    assert (shown["state"], shown["path"]) == ("done", "ab/cd/abcd.png")
    assert (shown["gpu"], shown["host"], shown["worker"]) == ("CPU", "night3", "cpu0")
    assert (shown["denoise_s"], shown["total_s"]) == (0.5, 1.0)
    assert not any(name.endswith("_id") for name in shown)


def test_the_view_shows_how_an_image_was_made(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    how = {"engine": "slots", "batch_width": 16, "slot": 3, "decode_dtype": "float32"}
    made = {claim.id: make_result(**how)}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    shown = image_of(database)
    assert {name: shown[name] for name in how} == how


def test_the_view_shows_a_job_before_it_is_made(database: Database) -> None:
    submit(database, plan_seeds(1))
    shown = image_of(database)
    assert (shown["state"], shown["path"], shown["gpu"]) == ("pending", None, None)
    assert (shown["engine"], shown["decode_dtype"]) == (None, None)


def test_times_are_utc_with_microseconds(database: Database) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    now = utc_now()
    made = {claim.id: make_result(finished_at=now)}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)
    shown = image_of(database)
    assert shown["finished_at"] == now
    for text in (shown["finished_at"], shown["created_at"]):
        assert len(text) == len("2026-01-02T03:04:05.678901+00:00")
        assert datetime.fromisoformat(text).tzinfo == UTC
