"""Speeds: what calibrations measured, kept apart where it cannot be compared."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from storage.jobs.speeds import Speed, read, record
from storage.settings import Settings
from storage.sql.database import Database
from storage.store import Store
from tests.builders import ENVIRONMENT, SHAPES
from tests.unit.filled_store import make_settings

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def make_speed(**changes: Any) -> Speed:
    speed = Speed(
        model=SHAPES.name,
        model_fingerprint=SHAPES.fingerprint,
        gpu=ENVIRONMENT.gpu,
        dtype="float32",
        width=64,
        height=64,
        guidance=2.5,
        scheduler="ddim",
        scheduler_class="DDIMScheduler",
        steps=20,
        evaluations=20,
        images=5,
        median_s=0.25,
        least_s=0.125,
        most_s=0.5,
        measured_at="2026-01-02T03:04:05.678901+00:00",
    )
    return replace(speed, **changes)


def test_what_was_measured_is_read_again(database: Database) -> None:
    speed = make_speed(scheduler_options={"timestep_spacing": "trailing"})
    record(database, [speed], environment=ENVIRONMENT)
    assert read(database) == [speed]


def test_nothing_measured_is_nothing_stored(database: Database) -> None:
    record(database, [], environment=ENVIRONMENT)
    assert read(database) == []


def test_measuring_again_replaces_what_was_measured(database: Database) -> None:
    again = make_speed(guidance=7.5, images=9, median_s=0.375, evaluations=21)
    record(database, [make_speed(), make_speed(steps=8)], environment=ENVIRONMENT)
    record(database, [again], environment=ENVIRONMENT)
    assert read(database) == [make_speed(steps=8), again]


@pytest.mark.parametrize(
    "changes",
    [
        {"model_fingerprint": "1" * 32},
        {"dtype": "float16"},
        {"width": 128},
        {"height": 128},
        {"guidance": 1.0},
        {"scheduler": "mine"},
        {"scheduler_class": "PNDMScheduler"},
        {"scheduler_options": {"clip_sample": True}},
        {"steps": 8},
    ],
)
def test_what_is_measured_elsewhere_stays_beside_it(
    database: Database, changes: dict[str, Any]
) -> None:
    record(database, [make_speed()], environment=ENVIRONMENT)
    record(database, [make_speed(**changes)], environment=ENVIRONMENT)
    assert len(read(database)) == 2


def test_other_versions_are_measured_beside_the_old_ones(database: Database) -> None:
    newer = replace(ENVIRONMENT, details={"torch": "2.14.0"})
    later = make_speed(measured_at="2026-02-02T03:04:05.678901+00:00", median_s=0.2)
    record(database, [later], environment=newer)
    record(database, [make_speed()], environment=ENVIRONMENT)
    assert read(database) == [make_speed(), later]


def test_speeds_come_by_scheduler_and_steps(database: Database) -> None:
    ordered = [
        make_speed(scheduler=scheduler, steps=steps)
        for scheduler in ("ddim", "euler")
        for steps in (4, 8, 20)
    ]
    record(database, ordered[::-1], environment=ENVIRONMENT)
    assert read(database) == ordered


def test_speeds_are_asked_by_parts_of_names(database: Database) -> None:
    here = make_speed(gpu="NVIDIA H200")
    there = make_speed(model="org/sd_15", model_fingerprint="1" * 32, gpu="NVIDIA T4")
    environment = replace(ENVIRONMENT, gpu=here.gpu)
    record(database, [here], environment=environment)
    record(database, [there], environment=replace(environment, gpu=there.gpu))
    assert read(database, gpu="h200") == [here]
    assert read(database, model="SD_15") == [there]
    assert read(database, model="sd%15") == []
    assert read(database, model="shapes", gpu="T4") == []


def test_the_store_gives_speeds_as_rows(database: Database, settings: Settings) -> None:
    options = {"clip_sample": True}
    speed = make_speed(scheduler_options=options)
    record(database, [speed], environment=ENVIRONMENT)
    with Store(settings) as store:
        (row,) = store.speeds(model="shapes", gpu="cpu")
        (flat,) = store.sql("SELECT * FROM speeds")
    assert row == asdict(speed)
    assert json.loads(flat["scheduler_options"]) == options
    assert (flat["scheduler"], flat["median_s"], flat["guided"]) == ("ddim", 0.25, 1)


def test_without_a_database_nothing_was_measured(tmp_path: Path) -> None:
    assert Store(make_settings(tmp_path)).speeds() == []
