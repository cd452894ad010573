"""Requests for scores, with the references that they need: stored once each."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from producer.models.cards import ModelCard, describe
from producer.scoring.forecast import Forecast, describe_forecast
from producer.scoring.references import Without
from producer.scoring.request_report import describe_requests, rows_of
from producer.scoring.requested_metrics import RequestedMetric, read_metric
from producer.scoring.requests import Requests
from storage.catalogue.schedulers import effective_options, resolve
from storage.job import PlannedJob
from storage.jobs.companions import find_companion
from storage.jobs.stored_jobs import read_planned
from storage.jobs.sweep_counts import count_states
from storage.models.fingerprint import Digests
from storage.sql.database import Database
from storage.sql.schema import jobs, scores
from storage.sql.schema import metrics as metric_rows
from tests.builders import make_planned, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return describe("builtin:shapes", base_dir=Path())


def plan(card: ModelCard, name: str, *steps: int) -> list[PlannedJob]:
    asked = resolve(name)
    return [
        make_planned(
            model=card.model,
            dtype="float32",
            scheduler_class=asked.class_name,
            scheduler_options=effective_options(asked, card.scheduler_config),
            scheduler_name=name,
            steps=each,
            evaluations=each,
            position=each,
        )
        for each in steps
    ]


def requests_of(database: Database, metrics: list[RequestedMetric]) -> Requests:
    return Requests(database, metrics, describe=describe, digests=Digests())


def metrics() -> list[RequestedMetric]:
    reference = {"steps": 40}
    return [
        read_metric("clip", base_dir=Path()),
        read_metric("rmse", base_dir=Path(), reference=reference),
    ]


def stored(database: Database) -> list[tuple[int, int | None]]:
    """Return the steps of each image that has a distance, and of its reference."""
    other = jobs.alias()
    query = (
        sa.select(jobs.c.steps, other.c.steps)
        .select_from(scores)
        .join(jobs, jobs.c.id == scores.c.job_id)
        .join(other, other.c.id == scores.c.reference_id)
        .order_by(jobs.c.steps)
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_distances_are_asked_with_their_references_and_the_half_of_them(
    database: Database, card: ModelCard
) -> None:
    planned = [*plan(card, "ddim", 8, 20, 40), *plan(card, "euler_a", 8)]
    sweep = submit(database, planned)
    requests = requests_of(database, metrics())
    fresh = requests.add(sweep, planned)
    # At 20 and 40 steps, the sweep has them itself.
    assert fresh == []
    assert stored(database) == [(8, 40), (20, 40)]
    clip, rmse = requests.tallies.values()
    assert clip.asked.new == 4
    assert rmse.asked.new == 2
    assert rmse.without == {Without.NOISE: 1, Without.ITSELF: 1}
    companion = find_companion(database, sweep)
    assert companion is not None
    assert count_states(database, companion) == {"pending": 2}
    assert count_states(database, sweep) == {"pending": 4}
    assert list(describe_requests(requests)) == [
        "clip: 4 scores, 4 new, 4 waiting for images.",
        "rmse at 40 steps: 2 scores, 2 new, 2 waiting for images.",
        "rmse at 40 steps: 2 images to compare with, half of them at half the steps, 0 "
        "new.",
        "rmse at 40 steps: none for 1 image: its scheduler draws noise, so there is no "
        "limit for each image.",
        "rmse at 40 steps: none for 1 image: it is its own reference.",
    ]


def test_asking_again_from_what_is_stored_adds_nothing(
    database: Database, card: ModelCard
) -> None:
    planned = plan(card, "ddim", 4, 8)
    sweep = submit(database, planned)
    fresh = requests_of(database, metrics()).add(sweep, planned)
    assert [one.job.steps for one in fresh] == [40, 20]
    again = requests_of(database, metrics())
    rows = read_planned(database, [one.job.key for one in planned])
    assert [one.job.key for one in rows] == [one.job.key for one in planned]
    assert again.add(sweep, rows) == []
    assert [row["new"] for row in rows_of(again)] == [0, 0]
    assert [row["waiting"] for row in rows_of(again)] == [2, 3]
    assert stored(database) == [(4, 40), (8, 40), (20, 40)]


def test_a_plan_counts_the_same(card: ModelCard) -> None:
    forecast = Forecast(metrics(), [card])
    for one in [*plan(card, "ddim", 4, 8, 20), *plan(card, "euler_a", 8)]:
        forecast.add(one)
    assert [one.job.steps for one in forecast.references()] == [40]
    assert [describe_forecast(row) for row in forecast.rows()] == [
        "clip: 4 images",
        "rmse at 40 steps: 3 images, compared with 2 more; none for 1 whose scheduler "
        "draws noise",
    ]


def plan_seeds(card: ModelCard, *seeds: int) -> list[PlannedJob]:
    (one,) = plan(card, "ddim", 8)
    return [
        replace(one, job=replace(one.job, seed=seed), position=seed) for seed in seeds
    ]


def between_seeds(database: Database) -> list[tuple[int, int, int, str]]:
    """Return steps and seed of the scored image, and seed and reference of the other.

    Only of scores whose images differ in the seed.
    """
    other = jobs.alias()
    query = (
        sa.select(jobs.c.steps, jobs.c.seed, other.c.seed, metric_rows.c.reference)
        .select_from(scores)
        .join(metric_rows, metric_rows.c.id == scores.c.metric_id)
        .join(jobs, jobs.c.id == scores.c.job_id)
        .join(other, other.c.id == scores.c.reference_id)
        .where(jobs.c.seed != other.c.seed)
        .order_by(jobs.c.seed)
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_references_are_held_against_the_same_of_the_first_seed(
    database: Database, card: ModelCard
) -> None:
    planned = plan_seeds(card, 3, 1, 7)
    sweep = submit(database, planned)
    requests = requests_of(database, metrics())
    requests.add(sweep, planned[:2])
    requests.add(sweep, planned[2:])

    assert between_seeds(database) == [
        (40, 1, 3, '{"seed":3}'),
        (40, 7, 3, '{"seed":3}'),
    ]
    assert [row["between_seeds"] for row in rows_of(requests)] == [0, 2]
    assert (
        "rmse at 40 steps: 2 distances between two seeds of a prompt, the unit of "
        "limits."
    ) in list(describe_requests(requests))

    again = requests_of(database, metrics())
    again.add(sweep, planned)
    assert len(between_seeds(database)) == 2
    assert [tally.between_seeds.new for tally in again.tallies.values()] == [0, 0]


def test_a_metric_for_show_needs_no_unit(database: Database, card: ModelCard) -> None:
    planned = plan_seeds(card, 0, 1)
    psnr = read_metric("psnr", base_dir=Path(), reference={"steps": 40})
    requests_of(database, [psnr]).add(submit(database, planned), planned)
    assert between_seeds(database) == []


def test_a_plan_counts_the_pairs_of_seeds(card: ModelCard) -> None:
    forecast = Forecast(metrics(), [card])
    for one in plan_seeds(card, 0, 1, 2):
        forecast.add(one)
    assert [describe_forecast(row) for row in forecast.rows()][1] == (
        "rmse at 40 steps: 3 images, compared with 6 more; 2 of these with another seed"
    )
