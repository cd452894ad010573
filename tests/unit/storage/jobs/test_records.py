import pytest

from storage.job import Model
from storage.jobs.records import Made, read_records
from storage.jobs.results import record_done
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_planned,
    make_result,
    plan_seeds,
    submit,
    take,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_a_record_has_the_job_and_how_it_was_made(database: Database) -> None:
    first, second = plan_seeds(1, 2)
    submit(database, [first, second])
    (claim,) = take(database, limit=1)
    result = make_result(engine="slots", batch_width=4, slot=3, decode_dtype="float32")
    record_done(database, {claim.id: result}, worker="cpu0", environment=ENVIRONMENT)
    found = {
        record.key: record
        for record in read_records(database, [first.job.key, second.job.key, "0" * 32])
    }
    assert found.keys() == {first.job.key, second.job.key}
    made = found[first.job.key]
    assert made.job == first.job
    assert made.places == [first.job.model]
    assert made.made == Made(
        path=result.path,
        pixel_sha256=result.pixel_sha256,
        engine="slots",
        batch_width=4,
        slot=3,
        decode_dtype="float32",
        gpu=ENVIRONMENT.gpu,
        details=ENVIRONMENT.details,
    )
    waiting = found[second.job.key]
    assert (waiting.job, waiting.made) == (second.job, None)


def test_the_model_of_a_record_is_where_the_image_was_made(database: Database) -> None:
    planned = make_planned()
    moved = make_planned(model=planned.job.model.at(_place("/moved")))
    submit(database, [planned], name="first")
    submit(database, [moved], name="second")
    (claim,) = take(database)
    result = make_result(place=moved.job.model)
    record_done(database, {claim.id: result}, worker="cpu0", environment=ENVIRONMENT)
    (record,) = read_records(database, [planned.job.key])
    assert record.job.model == moved.job.model
    assert [place.name for place in record.places] == ["/moved", "builtin:shapes"]


def _place(name: str) -> Model:
    return Model(fingerprint="0" * 32, name=name, variant="fp16")
