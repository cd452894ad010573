"""Files without a finished image, damaged thumbnails, and what killed processes left.

A thumbnail beside its image is no finding of its own: it goes where the image goes.
Workers may go on meanwhile: a folder is listed before its rows are read, so that jobs
finished in between are known.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import sqlalchemy as sa

from storage.files.images import FOLDERS, relative_path
from storage.files.markers import is_temporary
from storage.files.places import Place, place_at
from storage.files.verification import Checked, Finding
from storage.host.file_stamps import Stamp
from storage.image_address import ImageAddress
from storage.sql.database import Database
from storage.sql.schema import jobs

#: Age in seconds at which no worker is still about to use a file that it wrote.
SETTLED_S = 3600.0

_IMAGE = re.compile(r"([0-9a-f]{32})\.png")
_THUMBNAIL = re.compile(r"([0-9a-f]{32})\.webp")
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.(?:png|webp)\.[0-9a-f]+\.tmp")


def check_files(
    database: Database, images: ImageAddress, *, since_ns: int = 0
) -> Iterator[Checked]:
    """Look for files that belong to no finished job, a folder at a time.

    Damaged thumbnails are `damaged`; they are made again when somebody wants them.
    Files that workers may be about to use are left out: those of leased jobs, and,
    while they are young, those of other unfinished jobs and temporary files.

    Args:
        database: Where the rows are.
        images: Where images are.
        since_ns: When the folder became the database's; see `storage.files.folders`.
            Older files may be another database's, and become `foreign`.

    Raises:
        ImageStoreError: A folder cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    place = place_at(images)
    for folder in FOLDERS:
        paths = place.list_shard(folder)
        states = _states(database, folder) if paths else {}
        there = set(paths)
        unknown = (_look(place, path, states, there) for path in paths)
        found = [_judged(each, since_ns) for each in unknown if each]
        yield Checked(images=0, findings=found)
    names = filter(is_temporary, place.names(""))
    left = (_leftover(place, name) for name in names)
    yield Checked(images=0, findings=[each for each in left if each])


def key_at(path: str) -> str | None:
    """Return the key of the job whose image or thumbnail belongs at a path, or None."""
    name = path.rpartition("/")[2]
    named = _IMAGE.fullmatch(name) or _THUMBNAIL.fullmatch(name)
    return named[1] if named and relative_path(named[1]) == image_at(path) else None


def is_thumbnail(path: str) -> bool:
    """Return whether a file is named as a thumbnail is."""
    return _THUMBNAIL.fullmatch(path.rpartition("/")[2]) is not None


def image_at(path: str) -> str:
    """Return the path of the image beside a thumbnail; that of an image is its own."""
    return f"{path.rpartition('.')[0]}.png"


def is_orphan(state: str | None, stamp: Stamp) -> bool:
    """Return whether an image file is orphaned, and no worker is about to use it.

    Args:
        state: Of the job that it belongs to; None where there is no such job.
        stamp: Of the file. The file of an unfinished job may be used until it is old:
            its worker may have lost the lease and still be about to write the row.
    """
    if state in ("done", "leased", "evicted"):
        return False
    return state is None or is_settled(stamp)


def is_settled(stamp: Stamp) -> bool:
    """Return whether a file is so old that no worker is about to use it."""
    return time.time() - stamp.written_ns / 1e9 > SETTLED_S


def _states(database: Database, folder: str) -> dict[str, str]:
    begins = sa.and_(jobs.c.key >= folder, jobs.c.key < f"{folder}g")
    with database.read() as connection:
        query = sa.select(jobs.c.key, jobs.c.state).where(begins)
        return dict(connection.execute(query).all())


def _look(
    place: Place, path: str, states: Mapping[str, str], there: Collection[str]
) -> Finding | None:
    name = path.rpartition("/")[2]
    if _IMAGE.fullmatch(name):
        return _orphan(place, path, states)
    if _THUMBNAIL.fullmatch(name):
        has_image = image_at(path) in there
        return _damaged(place, path) if has_image else _orphan(place, path, states)
    if _TEMPORARY.fullmatch(name):
        return _leftover(place, path)
    return None


def _orphan(place: Place, path: str, states: Mapping[str, str]) -> Finding | None:
    key = key_at(path)
    state = states.get(key) if key else None
    # Most jobs are done: only the files of the others are looked at.
    stamp = place.look_at(path) if state != "done" else None
    if stamp and state == "evicted":
        detail = "it was removed, and its file is still there"
        return Finding(problem="evicted", path=path, detail=detail, stamp=stamp)
    if stamp is None or not is_orphan(state, stamp):
        return None
    detail = "no job has this key" if key else "it is in the wrong folder"
    if state:
        detail = f"its job is {state}"
    if is_thumbnail(path):
        detail = f"a thumbnail without an image; {detail}"
    return Finding(problem="orphaned", path=path, detail=detail, stamp=stamp)


def _damaged(place: Place, path: str) -> Finding | None:
    if place.is_whole_thumbnail(path):
        return None
    detail = "a thumbnail that is cut short or no WebP file"
    stamp = place.look_at(path)
    return Finding(problem="damaged", path=path, detail=detail, stamp=stamp)


def _judged(finding: Finding, since_ns: int) -> Finding:
    is_older = finding.stamp is not None and finding.stamp.written_ns < since_ns
    if finding.problem != "orphaned" or not is_older:
        return finding
    detail = f"{finding.detail}; it was here before the folder was this database's"
    return replace(finding, problem="foreign", detail=detail)


def _leftover(place: Place, path: str) -> Finding | None:
    stamp = place.look_at(path)
    if stamp is None or not is_settled(stamp):
        return None
    detail = "a worker was killed while it wrote this"
    return Finding(problem="leftover", path=path, detail=detail, stamp=stamp)
