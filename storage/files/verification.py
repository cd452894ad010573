"""Finished images without a whole file: missing, truncated, or with other pixels.

`storage.files.orphans` looks for files without a finished image. Nothing is changed
here; `storage.files.repairs` does that. Workers may go on meanwhile: a file is written
before its row, so a row is read before its file is looked for.
"""

import errno
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa

from storage.files.disk import unreadable
from storage.files.images import relative_path
from storage.files.pictures import BROKEN, pixel_sha256
from storage.files.places import Place, place_at
from storage.host.file_stamps import Stamp
from storage.image_address import ImageAddress
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import jobs, results, sweep_jobs

#: A `leftover` is the temporary file of a killed worker, and `damaged` a thumbnail. A
#: `foreign` file may be another database's. An `evicted` one is of a removed image.
#: `mislabelled` rows have a wrong name for their scheduler. A `lost_input` is the copy
#: of an image that jobs begin with.
Problem = Literal[
    "missing",
    "truncated",
    "wrong_digest",
    "orphaned",
    "leftover",
    "evicted",
    "damaged",
    "foreign",
    "mislabelled",
    "lost_input",
]

#: A condition on rows of `results`, and the one that all rows meet.
Condition = sa.ColumnElement[bool]
EVERYWHERE: Condition = sa.true()

#: Rows that are read, and checked, at a time.
CHECK_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished image, as its rows say.

    Attributes:
        job_id: Row of the job.
        key: The job's.
        group: The job's batch group.
        size_bytes: Of the file.
        pixel_sha256: Over the RGB bytes.
        finished_at: Distinguishes the result from a later one of the same job.
    """

    job_id: int
    key: str
    group: str
    size_bytes: int
    pixel_sha256: str
    finished_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mislabelled:
    """Rows of one model whose scheduler has a wrong name.

    Attributes:
        model_id: Row of the model.
        fingerprint: The model's.
        class_name: Class in diffusers.
        options: JSON text, as it is stored.
        called: The wrong name.
        name: The true one.
        names: All names that mean this scheduler on this model.
    """

    model_id: int
    fingerprint: str
    class_name: str
    options: str
    called: str
    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a row or a file.

    Attributes:
        problem: What is wrong.
        path: Where the file is or should be, below the image folder; empty if the
            finding is not about one file.
        detail: What was found, as a phrase.
        stamp: The file as it was seen; None where there is none.
        made: What the rows say; None where the file belongs to no finished job.
        mislabelled: Which rows have a wrong name; None for other problems.
        repair: What was done about it; None where nothing was.
    """

    problem: Problem
    path: str
    detail: str
    stamp: Stamp | None = None
    made: Made | None = None
    mislabelled: Mislabelled | None = None
    repair: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What one step of a check found.

    Attributes:
        images: Finished images that were looked for.
        findings: What is wrong.
    """

    images: int
    findings: Sequence[Finding]


def count_made(
    database: Database, sweep: Sweep | None = None, *, here: Condition = EVERYWHERE
) -> int:
    """Count the finished images, of a sweep or of all; `here` as in `check_images`."""
    with database.read() as connection:
        query = sa.select(sa.func.count()).select_from(results).where(here)
        if sweep:
            of_sweep = sweep_jobs.c.job_id == results.c.job_id
            query = query.join(sweep_jobs, of_sweep)
            query = query.where(sweep_jobs.c.sweep_id == sweep.id)
        return int(connection.execute(query).scalar_one())


def check_images(
    database: Database,
    images: ImageAddress,
    *,
    sweep: Sweep | None = None,
    here: Condition = EVERYWHERE,
    by_digest: bool = False,
) -> Iterator[Checked]:
    """Look for the file of each finished image, some at a time.

    Args:
        database: Where the rows are.
        images: Where images are.
        sweep: Check its images only; None for all.
        here: Which rows of `results` are looked for: `storage.files.folders.rows_here`.
        by_digest: Decode each file and compare its pixels too.

    Raises:
        ImageStoreError: A file cannot be read for a reason other than its content.
        DatabaseError: SQL cannot be reached.
    """
    place = place_at(images)
    # Threads, since decoding and hashing release Python's lock.
    with ThreadPoolExecutor(place.readers) as pool:
        for page in _pages(database, sweep, here):
            found = _check_page(place, pool, page, by_digest=by_digest)
            wrong = [finding for finding in found if finding]
            yield Checked(images=len(page), findings=wrong)


def has_any(
    database: Database, images: ImageAddress, *, here: Condition = EVERYWHERE
) -> bool:
    """Return whether at least one image of `here` is where its row says."""
    place = place_at(images)
    return any(
        any(place.look_at_each([relative_path(made.key) for made in page]))
        for page in _pages(database, None, here)
    )


def select_made() -> sa.Select[Any]:
    """Return the query whose rows are the fields of `Made`; add a `where` to it."""
    return (
        sa.select(
            results.c.job_id,
            jobs.c.key,
            jobs.c.group_key.label("group"),
            results.c.size_bytes,
            results.c.pixel_sha256,
            results.c.finished_at,
        )
        .join(jobs, jobs.c.id == results.c.job_id)
        .where(jobs.c.state == "done")
    )


def _pages(
    database: Database, sweep: Sweep | None, here: Condition
) -> Iterator[list[Made]]:
    place = sweep_jobs.c.job_id if sweep else results.c.job_id
    query = select_made().where(here).order_by(place).limit(CHECK_ROWS)
    if sweep:
        query = query.join(sweep_jobs, sweep_jobs.c.job_id == results.c.job_id)
        query = query.where(sweep_jobs.c.sweep_id == sweep.id)
    last = 0
    while True:
        with database.read() as connection:
            rows = connection.execute(query.where(place > last)).mappings()
            page = [Made(**row) for row in rows]
        if not page:
            return
        yield page
        last = page[-1].job_id


def _check_page(
    place: Place, pool: Executor, page: Sequence[Made], *, by_digest: bool
) -> Iterator[Finding | None]:
    stamps = place.look_at_each([relative_path(made.key) for made in page])
    check = partial(_check, place, by_digest=by_digest)
    return pool.map(check, page, stamps) if by_digest else map(check, page, stamps)


def _check(
    place: Place, made: Made, stamp: Stamp | None, *, by_digest: bool
) -> Finding | None:
    path = relative_path(made.key)
    wrong = partial(Finding, path=path, stamp=stamp, made=made)
    if stamp is None:
        return wrong(problem="missing", detail="there is no file")
    if stamp.size_bytes != made.size_bytes:
        detail = f"{stamp.size_bytes:,} bytes instead of {made.size_bytes:,}"
        return wrong(problem="truncated", detail=detail)
    if by_digest and (pixels := _pixel_sha256(place, path)) != made.pixel_sha256:
        detail = "the pixels differ" if pixels else "it cannot be decoded"
        return wrong(problem="wrong_digest", detail=detail)
    return None


def _pixel_sha256(place: Place, path: str) -> str | None:
    """Hash the RGB bytes of a PNG, row by row; None where it cannot be decoded.

    Raises:
        ImageStoreError: It cannot be read for a reason other than a bad spot on the
            disk.
    """
    # Imported here: a check of sizes alone does not need it.
    from PIL import Image

    try:
        content, _ = place.read(path)
    except OSError as exc:
        if exc.errno not in (errno.EIO, errno.ENOENT):
            raise unreadable(exc) from exc
        return None
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return pixel_sha256(image)
    except (*BROKEN, Image.DecompressionBombError):
        return None
