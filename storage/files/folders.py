"""Image folders as SQL knows them: which database owns one, which images are in it.

All hosts share one folder or bucket, or each host has its own folder. It belongs to one
database, as the marker in it says (`storage.files.markers`). A row of `results` notes
the folder of its file; older rows note only the host. `storage.files.folder_places` has
the paths. Here, a bucket is a folder, too.
"""

import secrets
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ImageStoreError, WrongFolderError
from storage.files.folder_places import ids_at, note_place, place_names, place_of
from storage.files.images import relative_path
from storage.files.markers import NAME, Marker, leave_marker, read_marker
from storage.files.places import place_at
from storage.files.verification import Condition
from storage.host.worker_ids import my_host
from storage.image_address import ImageAddress
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import (
    EVICTED,
    about,
    environments,
    folders,
    jobs,
    results,
    sweep_jobs,
)

#: Which rows of `results` have files: those that were not evicted, which few are.
HAS_FILE = results.c.job_id.not_in(sa.select(jobs.c.id).where(EVICTED).correlate(None))
#: Most images to look for when judging whether a folder holds them. They are taken in
#: the order of their keys; keys are hashes, so this is a random sample.
SAMPLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """An image folder, and what its database knows of it.

    Attributes:
        path: Where it is here; it may be a bucket.
        id: Its row in `folders`; None where there is none.
        since_ns: Older files were there before the folder was the database's.
            Nanoseconds since 1970, by the clock of the file system; 0 if the folder
            was empty then, and now if it has no marker.
    """

    path: ImageAddress
    id: int | None
    since_ns: int

    @property
    def place(self) -> str:
        """Host and path, for people."""
        return place_of(self.path)


def take_folder(database: Database, path: ImageAddress) -> Folder:
    """Open an image folder to write to it; one without a marker becomes the database's.

    Raises:
        WrongFolderError: It belongs to another database.
        ImageStoreError: It cannot be read, or the marker cannot be written.
        DatabaseError: SQL cannot be reached.
    """
    marker = _read(database, path)
    if marker is None:
        mark = _find_again(database, path) or secrets.token_hex(16)
        leave_marker(path, database=_id_of(database), folder=mark)
        # Another process may have been first.
        marker = _read(database, path)
    if marker is None:
        msg = f"An image folder must keep its marker, but {path}/{NAME} is gone again."
        raise ImageStoreError(msg)
    row_id = note_place(database, path, marker.folder)
    return Folder(path=path, id=row_id, since_ns=marker.since_ns)


def look_at_folder(database: Database, path: ImageAddress) -> Folder:
    """Open an image folder to read from it; write nothing, here or in SQL.

    Raises:
        WrongFolderError: It belongs to another database.
        ImageStoreError: It cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    marker = _read(database, path)
    mark = marker.folder if marker else _find_again(database, path)
    query = sa.select(folders.c.id).where(folders.c.mark == mark)
    with database.read() as connection:
        row_id = connection.execute(query).scalar() if mark else None
    # Without a marker the folder belongs to no database yet.
    since_ns = marker.since_ns if marker else time.time_ns()
    return Folder(path=path, id=row_id, since_ns=since_ns)


def rows_here(database: Database, folder: Folder) -> Condition:
    """Return a condition that selects the rows of `results` whose files belong here.

    Rows without a folder belong here if this host made them, or if most files of the
    host that made them are here. Rows of an earlier folder at this very place belong
    here if most of its files are here: somebody merged the two folders.

    Raises:
        ImageStoreError: The folder cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    unnoted = results.c.folder_id.is_(None)
    with database.read() as connection:
        by_host: dict[str, list[int]] = defaultdict(list)
        query = sa.select(environments.c.id, environments.c.host).where(
            environments.c.id.in_(sa.select(results.c.environment_id).where(unnoted))
        )
        for row in connection.execute(query):
            by_host[row.host].append(row.id)
        here = [
            row_id
            for host, ids in by_host.items()
            if (host == my_host() and isinstance(folder.path, Path))
            or _are_in(
                connection,
                folder.path,
                sa.and_(unnoted, results.c.environment_id.in_(ids)),
            )
            for row_id in ids
        ]
        earlier, _ = _earlier_folders(connection, folder)
    # Never NULL, so that its negation finds the other rows.
    noted = [each for each in (folder.id, *earlier) if each is not None]
    is_noted = sa.func.coalesce(results.c.folder_id, 0).in_(noted)
    return sa.or_(is_noted, sa.and_(unnoted, results.c.environment_id.in_(here)))


def count_missing(database: Database, folder: Folder) -> int:
    """Count the images that were written to another folder at this very place.

    There are some if a disk is not mounted, or the folder was replaced or deleted.

    Raises:
        ImageStoreError: The folder cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    with database.read() as connection:
        _, gone = _earlier_folders(connection, folder)
        if not gone:
            return 0
        count = sa.select(sa.func.count()).where(
            results.c.folder_id.in_(gone), HAS_FILE
        )
        return int(connection.execute(count).scalar_one())


def count_elsewhere(
    database: Database,
    here: Condition,
    *,
    sweep: Sweep | None = None,
    among: Condition | None = None,
) -> Counter[str]:
    """Count the finished images that belong in other folders, by place or host."""
    count = sa.func.count().label("images")
    query = (
        sa.select(results.c.folder_id, environments.c.host, count)
        .join(environments, environments.c.id == results.c.environment_id)
        .where(HAS_FILE, sa.not_(here), sa.true() if among is None else among)
        .group_by(results.c.folder_id, environments.c.host)
    )
    if sweep:
        query = query.join(sweep_jobs, sweep_jobs.c.job_id == results.c.job_id)
        query = query.where(sweep_jobs.c.sweep_id == sweep.id)
    found = Counter[str]()
    with database.read() as connection:
        names = place_names(connection)
        for row in connection.execute(query):
            found[names.get(row.folder_id, row.host)] += row.images
    return found


def find_place(database: Database, key: str) -> tuple[int | None, str | None]:
    """Return the row and the place of the folder that an image was written to.

    Both are None if the folder was not noted, or if there is no image.
    """
    query = (
        sa.select(results.c.folder_id)
        .join(jobs, jobs.c.id == results.c.job_id)
        .where(jobs.c.key == key)
    )
    with database.read() as connection:
        row_id = connection.execute(query).scalar()
        return row_id, place_names(connection).get(row_id) if row_id else None


def _read(database: Database, path: ImageAddress) -> Marker | None:
    """Read the marker of a folder; refuse one of another database."""
    marker = read_marker(path)
    if marker and marker.database != _id_of(database):
        msg = (
            f"An image folder must belong to one database, but {path} belongs to "
            "another; set NIGHTSWEEP_IMAGES to a folder of this one's own, or, if the "
            f"other is gone for good, remove {path}/{NAME}."
        )
        raise WrongFolderError(msg)
    return marker


def _id_of(database: Database) -> str:
    with database.read() as connection:
        return str(connection.execute(sa.select(about.c.database_id)).scalar_one())


def _find_again(database: Database, path: ImageAddress) -> str | None:
    """Recognize a folder that lost its marker by its images; return its mark."""
    query = sa.select(folders.c.id, folders.c.mark).order_by(folders.c.id.desc())
    with database.read() as connection:
        for row in connection.execute(query).all():
            if _are_in(connection, path, results.c.folder_id == row.id):
                return str(row.mark)
    return None


def _earlier_folders(
    connection: Connection, folder: Folder
) -> tuple[list[int], list[int]]:
    """Return other folders of this place: those whose files are here, and the rest."""
    there: list[int] = []
    gone: list[int] = []
    for row_id in ids_at(connection, folder.path):
        if row_id != folder.id:
            is_here = _are_in(connection, folder.path, results.c.folder_id == row_id)
            (there if is_here else gone).append(row_id)
    return there, gone


def _are_in(connection: Connection, path: ImageAddress, which: Condition) -> bool:
    """Return whether a folder holds most of the images that meet a condition."""
    query = (
        sa.select(jobs.c.key)
        .join(results, results.c.job_id == jobs.c.id)
        .where(which, jobs.c.state == "done")
        .order_by(jobs.c.key)
        .limit(SAMPLE)
    )
    keys = connection.execute(query).scalars().all()
    looks = place_at(path).look_at_each([relative_path(key) for key in keys])
    there = sum(stamp is not None for stamp in looks)
    return 2 * there > len(keys)
