"""Scores in SQL: asked once, computed once, whatever happens to images and workers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storage.files.repairs import mend
from storage.files.verification import Finding, Made, select_made
from storage.jobs.eviction import evict, restore
from storage.jobs.results import record_done
from storage.scores import score_claims
from storage.scores.asking import REMOVED, AskedScores, ask
from storage.scores.identities import ResolvedMetric, find_metric
from storage.scores.score_claims import Outcome, ScoreClaim
from storage.scores.score_counts import (
    blocked_metrics,
    count_open,
    count_states,
    failures,
    pending_metrics,
)
from storage.sql.database import Database
from storage.sql.schema import folders, jobs, scores
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

WORKER = "host:1:1"
CLIP = ResolvedMetric(name="clip", source="clip", version="1", higher_is_better=True)
RMSE = ResolvedMetric(
    name="rmse",
    source="rmse",
    version="1",
    reference={"steps": 200},
    higher_is_better=False,
)


def make(database: Database, count: int, *, pixels: str = "0") -> None:
    """Have a worker make so many images."""
    made = {
        one.id: make_result(pixel_sha256=pixels * 64, path=f"{one.job.key}.png")
        for one in take(database, limit=count)
    }
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT, owner=WORKER)


def remove(database: Database, ids: Sequence[int]) -> None:
    """Evict images of an image folder."""
    with database.write() as connection:
        connection.execute(sa.insert(folders).values(id=1, mark="0" * 32))
    assert list(evict(database, ids, folder_id=1, still=sa.true())) == [len(ids)]


def score_rows(database: Database) -> Sequence[Any]:
    with database.read() as connection:
        query = sa.select(scores).order_by(scores.c.metric_id, scores.c.job_id)
        return connection.execute(query).all()


def score_states(database: Database) -> list[str]:
    return [row.state for row in score_rows(database)]


def row_id(database: Database, metric: ResolvedMetric = CLIP) -> int:
    found = find_metric(database, metric.digest)
    assert found is not None
    return found[0]


def take_scores(
    database: Database, *, limit: int = 8, owner: str = WORKER, lease_s: float = 90.0
) -> list[ScoreClaim]:
    return score_claims.claim(
        database, row_id(database), owner=owner, lease_s=lease_s, limit=limit
    )


def give(database: Database, claims: Sequence[ScoreClaim], value: float = 0.5) -> int:
    outcomes = [(one, Outcome(value=value)) for one in claims]
    return score_claims.record(database, row_id(database), outcomes, owner=WORKER)


def test_a_score_waits_for_its_image_and_is_asked_for_once(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 1)
    asked = ask(database, CLIP, {1: None, 2: None})
    assert asked == AskedScores(new=2, retried=0, states={"pending": 1, "waiting": 1})
    again = ask(database, CLIP, {1: None, 2: None})
    assert again == AskedScores(new=0, retried=0, states={"pending": 1, "waiting": 1})
    make(database, 1)
    assert score_states(database) == ["pending", "pending"]


def test_a_distance_waits_for_the_image_and_its_reference(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    ask(database, RMSE, {1: 3, 2: 3})
    make(database, 2)
    assert score_states(database) == ["waiting", "waiting"]
    make(database, 1)
    assert score_states(database) == ["pending", "pending"]
    (one, two) = score_claims.claim(
        database, row_id(database, RMSE), owner=WORKER, lease_s=90.0, limit=2
    )
    assert one.reference is not None
    assert two.reference == one.reference
    assert one.reference["seed"] == 3
    assert one.parameters["seed"] == 1


def test_a_score_is_computed_once(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, CLIP, {1: None, 2: None})
    taken = take_scores(database)
    assert [one.parameters["key"] for one in taken] == [
        row.key for row in job_rows(database)
    ]
    assert take_scores(database, owner="host:2:2") == []
    assert give(database, taken) == 2
    assert give(database, taken, value=9.0) == 0
    rows = score_rows(database)
    assert [(row.state, row.value, row.owner) for row in rows] == [
        ("done", 0.5, None)
    ] * 2
    assert all(row.scored_at and row.pixel_sha256 == "0" * 64 for row in rows)
    assert ask(database, CLIP, {1: None}).new == 0
    assert take_scores(database) == []


def test_a_lease_that_ended_leaves_the_value_to_another(database: Database) -> None:
    submit(database, plan_seeds(1))
    make(database, 1)
    ask(database, CLIP, {1: None})
    late = take_scores(database, owner="elsewhere:1:1", lease_s=-1.0)
    assert score_claims.free_expired(database) == 1
    taken = take_scores(database)
    outcomes = [(late[0], Outcome(value=9.0))]
    metric_id = row_id(database)
    owner = "elsewhere:1:1"
    assert score_claims.record(database, metric_id, outcomes, owner=owner) == 0
    assert give(database, taken) == 1
    assert [row.attempts for row in score_rows(database)] == [1]


def test_a_renewed_lease_lasts(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, CLIP, {1: None, 2: None})
    taken = take_scores(database, lease_s=-1.0)
    ids = [one.job_id for one in taken]
    held = score_claims.renew(database, owner=WORKER, ids=[*ids, 77], lease_s=90.0)
    assert held == {1, 2}
    assert score_claims.free_expired(database) == 0
    score_claims.hand_back(database, owner=WORKER, ids=[1])
    assert score_states(database) == ["pending", "leased"]
    assert [row.attempts for row in score_rows(database)] == [0, 1]
    assert score_claims.leased_owners(database) == {WORKER}


def test_a_score_that_kills_three_workers_alone_fails(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, CLIP, {1: None, 2: None})
    assert len(take_scores(database)) == 2
    score_claims.free_owner(database, WORKER, died=True)
    for _ in range(3):
        assert [one.job_id for one in take_scores(database)] == [1]
        score_claims.free_owner(database, WORKER, died=True)
    first, second = score_rows(database)
    assert (first.state, second.state) == ("failed", "pending")
    assert first.error == (
        "its worker died 3 times with this score alone; see the worker's log, then "
        "ask for it again with --retry-failed"
    )
    assert ask(database, CLIP, {1: None}, retry=True).retried == 1
    assert score_states(database) == ["pending", "pending"]


def test_a_worker_that_was_stopped_counts_no_attempt(database: Database) -> None:
    submit(database, plan_seeds(1))
    make(database, 1)
    ask(database, CLIP, {1: None})
    take_scores(database)
    assert score_claims.free_owner(database, "host:1:", died=False) == 1
    assert [(row.state, row.attempts) for row in score_rows(database)] == [
        ("pending", 0)
    ]


def test_a_failure_says_why_and_holds_up_nothing(database: Database) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, CLIP, {1: None, 2: None})
    one, two = take_scores(database)
    outcomes = [(one, Outcome(error="the file is gone")), (two, Outcome(value=1.0))]
    score_claims.record(database, row_id(database), outcomes, owner=WORKER)
    assert score_states(database) == ["failed", "done"]
    assert failures(database, sweep_id=sweep.id) == [("clip", "the file is gone", 1)]
    assert failures(database, digests=[]) == []
    assert count_states(database) == {sweep.id: {"failed": 1, "done": 1}}
    assert count_open(database, digests=[CLIP.digest]) == 0
    assert blocked_metrics(database) == []


def lose(database: Database, folder: Path, *job_ids: int) -> None:
    """Repair images whose files are gone."""
    with database.read() as connection:
        rows = connection.execute(select_made().where(jobs.c.id.in_(job_ids)))
        lost = [Made(**row) for row in rows.mappings()]
    findings = [
        Finding(problem="missing", path=f"{one.key}.png", detail="is gone", made=one)
        for one in lost
    ]
    assert all(each.repair for each in mend(database, folder, findings))


@pytest.mark.parametrize(("pixels", "state"), [("0", "done"), ("1", "pending")])
def test_an_image_that_is_made_again_keeps_its_score_unless_its_pixels_differ(
    database: Database, tmp_path: Path, pixels: str, state: str
) -> None:
    submit(database, plan_seeds(1))
    make(database, 1)
    ask(database, CLIP, {1: None})
    give(database, take_scores(database))
    lose(database, tmp_path, 1)
    assert score_states(database) == ["done"]
    make(database, 1, pixels=pixels)
    assert score_states(database) == [state]


def test_a_distance_is_computed_again_if_its_reference_has_other_pixels(
    database: Database, tmp_path: Path
) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, RMSE, {1: 2})
    metric_id = row_id(database, RMSE)
    taken = score_claims.claim(database, metric_id, owner=WORKER, lease_s=90.0, limit=1)
    done = [(taken[0], Outcome(value=0.5))]
    score_claims.record(database, metric_id, done, owner=WORKER)
    lose(database, tmp_path, 2)
    assert score_states(database) == ["done"]
    make(database, 1, pixels="1")
    assert [(row.state, row.value) for row in score_rows(database)] == [
        ("pending", None)
    ]


def test_a_score_of_an_image_that_is_lost_waits_for_it(
    database: Database, tmp_path: Path
) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    ask(database, CLIP, {1: None, 2: None})
    taken = take_scores(database)
    lose(database, tmp_path, 1)
    assert score_states(database) == ["waiting", "leased"]
    assert give(database, taken) == 1
    make(database, 1)
    assert score_states(database) == ["pending", "done"]


def test_metrics_that_wait_are_counted_for_the_hosts_that_have_the_images(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2))
    assert pending_metrics(database, host="night3") == []
    ask(database, CLIP, {1: None, 2: None})
    assert pending_metrics(database, host="night3") == []
    make(database, 2)
    (found,) = pending_metrics(database, host="night3")
    assert (found.digest, found.name, found.scores) == (CLIP.digest, "clip", 2)
    assert found.block_key == CLIP.digest[:16]


def test_where_a_metric_is_found_is_not_part_of_what_it_is(database: Database) -> None:
    submit(database, plan_seeds(1))
    one = ResolvedMetric(
        name="clip",
        source="clip",
        version="1",
        model="/here/clip",
        model_fingerprint="f" * 32,
        higher_is_better=True,
    )
    ask(database, one, {1: None})
    other = ResolvedMetric(
        name="clip",
        source="clip",
        version="1",
        model="org/clip",
        model_fingerprint="f" * 32,
        higher_is_better=True,
    )
    assert ask(database, other, {1: None}).new == 0
    found = find_metric(database, one.digest)
    assert found is not None
    assert found[1] == other


def test_scores_of_a_removed_image_stay_and_open_ones_fail(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    make(database, 3)
    ask(database, CLIP, {1: None, 2: None})
    give(database, take_scores(database, limit=1))
    ask(database, RMSE, {3: 1})
    remove(database, [1, 2])
    rows = {(row.job_id, row.metric_id): row for row in score_rows(database)}
    (done,) = [row for row in rows.values() if row.state == "done"]
    assert (done.job_id, done.value) == (1, 0.5)
    failed = [row for row in rows.values() if row.state == "failed"]
    assert {row.job_id for row in failed} == {2, 3}
    assert {row.error for row in failed} == {REMOVED}


def test_no_score_waits_for_a_removed_image(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    make(database, 2)
    remove(database, [1])
    assert ask(database, CLIP, {1: None}).states == {"failed": 1}
    assert ask(database, RMSE, {2: 1}).states == {"failed": 1}
    again = ask(database, CLIP, {1: None}, retry=True)
    assert (again.retried, again.states) == (0, {"failed": 1})


def test_failed_scores_wait_again_for_an_image_that_is_made_again(
    database: Database,
) -> None:
    sweep = submit(database, plan_seeds(1))
    make(database, 1)
    ask(database, CLIP, {1: None})
    remove(database, [1])
    restore(database, sweep)
    assert score_states(database) == ["waiting"]
    make(database, 1)
    assert score_states(database) == ["pending"]
