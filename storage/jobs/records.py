"""What is recorded of images: their jobs, and where and with what each was made."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import sqlalchemy as sa

from storage.job import Job, Model
from storage.sql.database import Database
from storage.sql.model_places import DatabasePlaces
from storage.sql.rows import job_columns, job_from_row
from storage.sql.schema import environments, jobs, model_places, results

#: The place that an image was made from, and its columns for `job_where_made`.
MADE_AT = model_places.alias("made_at")
AT_COLUMNS = tuple(
    MADE_AT.c[name].label(f"at_{name}")
    for name in ("id", "name", "revision", "variant", "commit_sha")
)
#: Records that one query reads.
PAGE_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How an image was made.

    Attributes:
        path: Its file, relative to the image folder.
        pixel_sha256: Hash of its RGB pixels, 64 hex digits.
        engine: `slots` for a batch of mixed jobs, `plain` for a call of its own.
        batch_width: Rows of the batch.
        slot: Its row, from 0.
        decode_dtype: Precision in which latents became pixels; empty if not recorded.
        gpu: Name of the GPU, or of the processor.
        details: Versions and the like by name, as `Environment` has them.
    """

    path: str
    pixel_sha256: str
    engine: str
    batch_width: int
    slot: int
    decode_dtype: str
    gpu: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A job, and what is recorded of it.

    Attributes:
        key: Its key in SQL, which an earlier version may have given.
        job: What to make. Its model is at the place from which the image was made, or
            else at the one from which it was first submitted; its parts are at each of
            their places.
        places: That model at each of its places, the last submitted first.
        scheduler: The name of its scheduler.
        made: How it was made; None until it is done.
    """

    key: str
    job: Job
    places: Sequence[Model]
    scheduler: str
    made: Made | None


def read_records(database: Database, keys: Sequence[str]) -> Iterator[Record]:
    """Yield the records of some jobs, in any order; unknown keys have none.

    Raises:
        DatabaseError: The database cannot be read.
    """
    places = DatabasePlaces(database)
    known: dict[str, Sequence[Model]] = {}
    for start in range(0, len(keys), PAGE_ROWS):
        page = _select().where(jobs.c.key.in_(keys[start : start + PAGE_ROWS]))
        with database.read() as connection:
            rows = connection.execute(page).all()
        for row in rows:
            job = job_where_made(row)
            for of in (job.model.fingerprint, *job.part_fingerprints):
                if of not in known:
                    known[of] = places.of_fingerprint(of)
            parts = tuple(chain(*(known[of] for of in job.part_fingerprints)))
            if parts:
                job = replace(job, parts=parts)
            yield _record(row, job, known[job.model.fingerprint])


def job_where_made(row: Any) -> Job:
    """Return the job of a row, with its model where the image was made from.

    Args:
        row: With `job_columns` and `AT_COLUMNS`.
    """
    job = job_from_row(row)
    if row.at_id is None:
        return job
    place = replace(
        job.model,
        name=row.at_name,
        revision=row.at_revision,
        variant=row.at_variant,
        commit=row.at_commit_sha,
    )
    return replace(job, model=place)


_MADE = ("path", "pixel_sha256", "engine", "batch_width", "slot", "decode_dtype")


def _select() -> sa.Select[Any]:
    return (
        job_columns()
        .add_columns(
            *(results.c[name].label(f"made_{name}") for name in _MADE),
            *AT_COLUMNS,
            environments.c.gpu,
            environments.c.details,
        )
        .outerjoin(results, results.c.job_id == jobs.c.id)
        .outerjoin(environments, environments.c.id == results.c.environment_id)
        .outerjoin(MADE_AT, MADE_AT.c.id == results.c.place_id)
    )


def _record(row: Any, job: Job, places: Sequence[Model]) -> Record:
    made = None
    if row.state == "done" and row.made_path is not None:
        made = Made(
            **{name: getattr(row, f"made_{name}") for name in _MADE},
            gpu=row.gpu,
            details=json.loads(row.details),
        )
    return Record(
        key=row.key,
        job=job,
        places=places,
        scheduler=row.scheduler_name,
        made=made,
    )
