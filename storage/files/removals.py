"""The files of evicted images go, each with its thumbnail.

`storage.jobs.eviction` notes in SQL which ones. A file is removed under the lock of its
job, while the note is there; so whoever makes the image again meanwhile keeps the new
file. Each transaction is short, however slow the disk is.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ImageStoreError
from storage.files.images import relative_path, thumbnail_beside
from storage.sql.database import Database
from storage.sql.schema import jobs, removals

#: Images that one transaction looks at, and seconds after which it takes no further.
REMOVAL_ROWS = 250
HELD_S = 0.02


def remove_files(
    database: Database, images: Path, *, folder_id: int | None
) -> Iterator[int]:
    """Remove the files of evicted images; yield of how many, some at a time.

    Files that another process is removing are left to it.

    Args:
        database: Where the notes are.
        images: The image folder.
        folder_id: Its row in `folders`.

    Raises:
        ImageStoreError: A file cannot be removed; the next call goes on there.
        DatabaseError: SQL cannot be reached.
    """
    while True:
        with database.write() as connection:
            page = _lock(connection, folder_id)
            gone = list(_removed(images, page))
            connection.execute(sa.delete(removals).where(removals.c.job_id.in_(gone)))
        if not page:
            return
        yield len(gone)


def remove_image(image: Path) -> None:
    """Remove an image file and its thumbnail, as far as they are there.

    Raises:
        ImageStoreError: One of them cannot be removed.
    """
    try:
        thumbnail_beside(image).unlink(missing_ok=True)
        image.unlink(missing_ok=True)
    except OSError as exc:
        msg = (
            f"Images must be removable, but {exc.filename} gives: {exc.strerror}; "
            "check the mode of NIGHTSWEEP_IMAGES and the disk, then run it again."
        )
        raise ImageStoreError(msg) from exc


def _lock(connection: Connection, folder_id: int | None) -> list[tuple[int, str]]:
    query = (
        sa.select(removals.c.job_id, jobs.c.key)
        .join(jobs, jobs.c.id == removals.c.job_id)
        .where(removals.c.folder_id == folder_id)
        .order_by(removals.c.job_id)
        .limit(REMOVAL_ROWS)
        .with_for_update(of=jobs, skip_locked=True)
    )
    return [(row.job_id, row.key) for row in connection.execute(query)]


def _removed(images: Path, page: list[tuple[int, str]]) -> Iterator[int]:
    """Remove files until the time is over; yield the rows of their jobs."""
    ends = time.monotonic() + HELD_S
    for job_id, key in page:
        remove_image(images / relative_path(key))
        yield job_id
        if time.monotonic() > ends:
            return
