"""Weights besides the model: their places are stored, and jobs find them again."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from storage.errors import ModelError
from storage.job import Model
from storage.jobs.records import read_records
from storage.sql.database import Database
from storage.sql.model_places import DatabasePlaces
from storage.sql.rows import job_columns, job_from_row
from storage.sql.schema import model_places
from tests.builders import SHAPES, make_job, make_planned, submit
from workers.model_lookup import find_part

LORA = Model(fingerprint="a" * 32, name="/loras/ink.safetensors", family="lora")
MOVED = replace(LORA, name="/elsewhere/ink.safetensors")
EXTRAS = {"loras": [[LORA.fingerprint, 0.5]]}


def test_where_a_part_was_found_is_no_part_of_the_key() -> None:
    job = make_job(extras=EXTRAS, parts=(LORA,))
    assert replace(job, parts=(MOVED,)) == job
    assert replace(job, parts=(MOVED,)).key == job.key
    assert job.key != make_job().key
    assert job.part_fingerprints == (LORA.fingerprint,)


def test_tuples_in_extras_are_lists_as_in_json() -> None:
    job = make_job(extras={"loras": ((LORA.fingerprint, 0.5),)})
    assert job.extras == EXTRAS
    assert make_job(extras={"loras": ()}).extras == {}


def test_a_job_finds_its_parts_by_their_fingerprints(database: Database) -> None:
    submit(database, [make_planned(extras=EXTRAS, parts=(LORA,))])
    submit(database, [make_planned(extras=EXTRAS, parts=(MOVED,))])
    with database.read() as connection:
        stored = job_from_row(connection.execute(job_columns()).one())
    tried: list[Model] = []

    def look(place: Model) -> Model:
        tried.append(place)
        if place == MOVED:
            msg = "it is not there"
            raise ModelError(msg)
        return place

    assert find_part(stored, "a" * 32, look, places=DatabasePlaces(database)) == LORA
    assert tried == [MOVED, LORA]  # the last submitted first


def test_a_part_without_a_place_is_refused_with_a_way_out(database: Database) -> None:
    with pytest.raises(ModelError, match=r"none is known .* submit the sweep again"):
        find_part(
            make_job(extras=EXTRAS),
            "a" * 32,
            lambda place: place,
            places=DatabasePlaces(database),
        )


def test_a_record_has_the_places_of_the_parts(database: Database) -> None:
    planned = make_planned(extras=EXTRAS, parts=(LORA, MOVED))
    submit(database, [planned])
    [record] = read_records(database, [planned.job.key])
    assert set(record.job.parts) == {LORA, MOVED}
    assert {place.name for place in record.places} == {SHAPES.name}


def test_each_place_of_a_part_is_stored_once(database: Database) -> None:
    for seed in (1, 2):
        submit(database, [make_planned(seed=seed, extras=EXTRAS, parts=(LORA,))])
    with database.read() as connection:
        count = connection.execute(sa.select(sa.func.count(model_places.c.id)))
        assert count.scalar_one() == 2  # of the model, and of the part
