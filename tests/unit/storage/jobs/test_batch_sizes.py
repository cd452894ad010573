"""Widths of batches: what one worker found out, all know."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storage.jobs.batch_sizes import DatabaseWidths
from storage.sql.database import Database
from storage.sql.schema import widths
from tests.builders import SHAPES, make_job
from workers.painting import Widths

pytestmark = pytest.mark.databases("sqlite", "postgresql")

GPU = "NVIDIA H200"


def note(known: Widths, *notes: tuple[int, str]) -> int | None:
    for width, reason in notes:
        known.set(make_job(), GPU, width=width, reason=reason)
    return known.get(make_job(), GPU)


def rows_of(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(widths)))


def test_nothing_is_known_at_first(database: Database) -> None:
    assert DatabaseWidths(database).get(make_job(), GPU) is None


def test_every_worker_knows_what_one_noted(database: Database) -> None:
    note(DatabaseWidths(database), (16, "memory"))
    assert DatabaseWidths(database).get(make_job(), GPU) == 16


@pytest.mark.parametrize(
    "changes",
    [
        {"model": replace(SHAPES, fingerprint="1" * 32)},
        *({"dtype": "float32"}, {"width": 768}, {"height": 768}, {"guidance": 1.0}),
    ],
)
def test_other_jobs_have_widths_of_their_own(
    database: Database, changes: dict[str, Any]
) -> None:
    known = DatabaseWidths(database)
    note(known, (16, "memory"))
    other = make_job(**changes)
    assert known.get(other, GPU) is None
    known.set(other, GPU, width=4, reason="memory")
    assert (known.get(make_job(), GPU), known.get(other, GPU)) == (16, 4)


def test_another_gpu_has_widths_of_its_own(database: Database) -> None:
    known = DatabaseWidths(database)
    note(known, (16, "memory"))
    assert known.get(make_job(), "NVIDIA T4") is None


def test_jobs_that_need_the_same_memory_share_a_width(database: Database) -> None:
    known = DatabaseWidths(database)
    note(known, (16, "memory"))
    alike = make_job(
        seed=1, steps=50, guidance=3, scheduler_class="LMSDiscreteScheduler"
    )
    assert known.get(alike, GPU) == 16


def test_memory_lowers_a_width_and_never_raises_it(database: Database) -> None:
    known = DatabaseWidths(database)
    assert note(known, (16, "memory"), (8, "memory")) == 8
    assert note(known, (16, "memory")) == 8


def test_memory_lowers_what_a_calibration_chose(database: Database) -> None:
    known = DatabaseWidths(database)
    known.set(make_job(), GPU, width=64, reason="calibrated", images_per_s=27.5)
    assert note(known, (32, "memory")) == 32
    (row,) = rows_of(database)
    assert (row.reason, row.images_per_s) == ("memory", None)


def test_a_late_note_of_memory_leaves_a_smaller_calibrated_width(
    database: Database,
) -> None:
    assert note(DatabaseWidths(database), (8, "calibrated"), (16, "memory")) == 8
    (row,) = rows_of(database)
    assert row.reason == "calibrated"


def test_a_calibration_replaces_what_was_noted_before(database: Database) -> None:
    known = DatabaseWidths(database)
    assert note(known, (8, "memory"), (32, "calibrated")) == 32
    assert note(known, (16, "calibrated")) == 16
    assert len(rows_of(database)) == 1


def test_a_calibration_notes_its_speed(database: Database) -> None:
    known = DatabaseWidths(database)
    known.set(make_job(), GPU, width=16, reason="calibrated", images_per_s=27.5)
    (row,) = rows_of(database)
    assert (row.batch_width, row.images_per_s) == (16, 27.5)
