"""Distances of images to their references, and between seeds of these."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from storage.job import PlannedJob
from storage.jobs.companions import companion_of
from storage.jobs.membership import add_jobs
from storage.queries.distances import read_distances, read_seed_distances
from storage.queries.scored import ScoredMetric, find_metrics
from storage.scores.asking import ask
from storage.scores.identities import ResolvedMetric
from storage.sql.database import Database
from storage.sql.schema import jobs, scores
from tests.builders import make_planned, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

IMAGES = [make_planned(seed=seed, steps=20) for seed in (0, 1, 2)]
HALVES = [make_planned(seed=seed, steps=100) for seed in (0, 1, 2)]
FULL = [make_planned(seed=seed, steps=200) for seed in (0, 1, 2)]


@pytest.fixture
def measured(database: Database) -> Database:
    """Images of three seeds with their references, all of which have distances."""
    sweep = submit(database, IMAGES)
    add_jobs(database, companion_of(database, sweep), [*HALVES, *FULL])
    score(database, [*IMAGES, *HALVES], [*FULL, *FULL], steps=200)
    score(database, FULL[1:], [FULL[0], FULL[0]], seed=0)
    score(database, FULL[1:], [FULL[0], FULL[0]], version="2", seed=0)
    return database


def score(
    database: Database,
    images: Sequence[PlannedJob],
    others: Sequence[PlannedJob],
    *,
    version: str = "1",
    **reference: int,
) -> None:
    """Score images, with values 0.0, 0.1, 0.2 and so on."""
    metric = ResolvedMetric(
        name="rmse",
        source="rmse",
        version=version,
        reference=reference,
        higher_is_better=False,
    )
    with database.read() as connection:
        query = sa.select(jobs.c.key, jobs.c.id)
        ids = dict(connection.execute(query).all())
    pairs = {
        ids[one.job.key]: ids[other.job.key]
        for one, other in zip(images, others, strict=True)
    }
    ask(database, metric, pairs)
    with database.write() as connection:
        for place, job_id in enumerate(pairs):
            mine = sa.and_(scores.c.job_id == job_id, scores.c.value.is_(None))
            done = {"state": "done", "value": place / 10}
            connection.execute(sa.update(scores).where(mine).values(done))


def metric_of(database: Database, query: str) -> ScoredMetric:
    (found,) = find_metrics(database, query)
    return found


def test_a_query_gets_the_distances_of_halves_with_those_of_its_images(
    measured: Database,
) -> None:
    query = "night seed:1"
    found = read_distances(measured, query, metric_of(measured, query))
    assert [(one.key, one.steps, one.value) for one in found] == [
        (IMAGES[1].job.key, 20, 0.1),
        (HALVES[1].job.key, 100, 0.4),
    ]
    assert {(one.reference, one.reference_steps) for one in found} == {
        (FULL[1].job.key, 200)
    }


def test_distances_between_seeds_are_of_the_same_version(measured: Database) -> None:
    metric = metric_of(measured, "night")
    assert (metric.label, metric.is_distance, metric.count) == ("rmse", True, 3)
    found = read_seed_distances(measured, "night", metric)
    assert [(one.key, one.other, one.value) for one in found] == [
        (FULL[1].job.key, FULL[0].job.key, 0.0),
        (FULL[2].job.key, FULL[0].job.key, 0.1),
    ]


def test_a_reference_that_is_asked_for_by_name_has_no_metric_of_its_own(
    measured: Database,
) -> None:
    (metric,) = find_metrics(measured, "night.reference steps:100")
    assert metric.label == "rmse"
    assert find_metrics(measured, "night.reference steps:200") == []
