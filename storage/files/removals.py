"""The files of evicted images go, each with its thumbnail.

`storage.jobs.eviction` notes in SQL which ones. A file is removed while its note is
there and nobody can ask for its image again (`storage.jobs.removal_lock`), so nobody's
new file goes. Workers wait for none of it, however slow the disk is.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ImageStoreError
from storage.files.images import relative_path, thumbnail_of
from storage.files.places import Place, place_at
from storage.image_address import ImageAddress
from storage.jobs.removal_lock import removal_lock
from storage.sql.database import Database
from storage.sql.schema import jobs, removals

#: Images whose files are removed before SQL hears of it.
REMOVAL_ROWS = 500
#: Images that are removed at once.
THREADS = 8


def remove_files(
    database: Database, images: ImageAddress, *, folder_id: int | None
) -> Iterator[int]:
    """Remove the files of evicted images; yield of how many, some at a time.

    On SQLite it waits for others that do the same. On PostgreSQL, files that another
    process is removing are left to it.

    Args:
        database: Where the notes are.
        images: Where they are.
        folder_id: Its row in `folders`.

    Raises:
        ImageStoreError: A file cannot be removed; the next call goes on there.
        DatabaseError: SQL cannot be reached.
    """
    place = place_at(images)
    with removal_lock(database):
        with database.read() as connection:
            noted = connection.execute(_select_noted(folder_id)).all()
        for start in range(0, len(noted), REMOVAL_ROWS):
            some = noted[start : start + REMOVAL_ROWS]
            with _locked(database, some, folder_id) as page:
                _remove_in_threads(place, [relative_path(row.key) for row in page])
            yield len(page)


def remove_images(place: Place, paths: Sequence[str]) -> None:
    """Remove images and their thumbnails, as far as they are there.

    Raises:
        ImageStoreError: One of them cannot be removed.
    """
    both = [each for path in paths for each in (thumbnail_of(path), path)]
    try:
        place.remove(both)
    except OSError as exc:
        msg = (
            f"Images must be removable, but {exc.filename} gives: {exc.strerror}; "
            "check the mode of NIGHTSWEEP_IMAGES and the disk, then run it again."
        )
        raise ImageStoreError(msg) from exc


def _remove_in_threads(place: Place, paths: Sequence[str]) -> None:
    """Remove images, several at once; no thread is still at work at the end.

    A disk that is waited for at each file is waited for fewer times.
    """
    shares = [paths[start::THREADS] for start in range(THREADS)]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="remove") as pool:
        for _ in pool.map(lambda share: remove_images(place, share), shares):
            pass


@contextmanager
def _locked(
    database: Database, noted: Sequence[Any], folder_id: int | None
) -> Iterator[Sequence[Any]]:
    """Yield those of some images that are still noted; delete their notes at the end.

    Meanwhile, nobody can ask for them again.
    """
    if database.is_sqlite:  # the removal lock is held, so all of them are
        yield noted
        with database.write() as connection:
            _delete_notes(connection, noted)
        return
    mine = removals.c.job_id.in_([row.job_id for row in noted])
    query = _select_noted(folder_id).where(mine)
    with database.write() as connection:
        # Sweeps may still begin to have these jobs: that needs only the keys.
        query = query.with_for_update(of=jobs, skip_locked=True, key_share=True)
        page = connection.execute(query).all()
        yield page
        _delete_notes(connection, page)


def _select_noted(folder_id: int | None) -> sa.Select[Any]:
    """Return the query of the images whose files are to go, in the order of locks."""
    return (
        sa.select(removals.c.job_id, jobs.c.key)
        .join(jobs, jobs.c.id == removals.c.job_id)
        .where(removals.c.folder_id == folder_id)
        .order_by(removals.c.job_id)
    )


def _delete_notes(connection: Connection, page: Sequence[Any]) -> None:
    if page:
        gone = sa.delete(removals).where(removals.c.job_id == sa.bindparam("gone"))
        connection.execute(gone, [{"gone": row.job_id} for row in page])
