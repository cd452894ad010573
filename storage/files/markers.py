"""The marker of an image folder: a small file that names the folder's database.

The first process that writes to a folder or bucket leaves the marker. It needs nothing
but "put if absent", which a bucket has too. A `kill -9` leaves a whole marker or none,
and on a file system without hard links perhaps an empty one, which the next process
fills.
"""

import errno
import fcntl
import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import ImageStoreError, WrongFolderError
from storage.files.images import FOLDERS
from storage.files.places import bucket_at
from storage.image_address import BucketAddress, ImageAddress

if TYPE_CHECKING:
    from storage.files.bucket import Bucket

#: The name of the file, at the top of the image folder.
NAME = ".nightsweep.json"
_TEMPORARY = re.compile(rf"{re.escape(NAME)}\.[0-9a-f]+\.tmp")
#: What a file system without hard links answers.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
)
#: On such a file system the marker is empty for a moment: how often to look until it is
#: filled or its writer must be dead, and the seconds between two looks.
LOOKS, PAUSE_S = 40, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What the marker of an image folder says.

    Attributes:
        database: The id of the database that the folder belongs to.
        folder: The folder's own id.
        since_ns: When the folder became the database's; 0 if it was empty then.
            Nanoseconds since 1970, by the clock of the file system.
    """

    database: str
    folder: str
    since_ns: int


def read_marker(images: ImageAddress) -> Marker | None:
    """Read the marker of an image folder; None where there is none.

    Raises:
        WrongFolderError: It is not as nightsweep writes it.
        ImageStoreError: It cannot be read.
    """
    for _ in range(LOOKS):
        text = _read(images) if isinstance(images, Path) else _get(images)
        if text != b"":
            break
        time.sleep(PAUSE_S)
    if not text:
        return None
    try:
        said = json.loads(text)
        known = {name: said[name] for name in Marker.__dataclass_fields__}
        return Marker(**known | {"since_ns": int(known["since_ns"])})
    except (ValueError, TypeError, KeyError) as exc:
        msg = (
            f"The marker of an image folder must be as nightsweep wrote it, but "
            f"{images}/{NAME} is not; remove it if the folder is this database's, and "
            "the next worker writes a new one."
        )
        raise WrongFolderError(msg) from exc


def is_temporary(name: str) -> bool:
    """Return whether a file of the folder is a marker that has no final name yet."""
    return _TEMPORARY.fullmatch(name) is not None


def leave_marker(images: ImageAddress, *, database: str, folder: str) -> None:
    """Write the marker of an image folder, unless there is one already.

    Args:
        images: The folder or bucket.
        database: The id of the database that the folder will belong to.
        folder: The folder's own id.

    Raises:
        ImageStoreError: It cannot be written.
    """
    name = f"{NAME}.{secrets.token_hex(8)}.tmp"
    if not isinstance(images, Path):
        _create(bucket_at(images), name, database=database, folder=folder)
        return
    temporary = images / name
    try:
        is_empty = not {each.name for each in images.iterdir()} & {*FOLDERS}
        with temporary.open("wb") as file:
            since_ns = 0 if is_empty else os.fstat(file.fileno()).st_mtime_ns
            marker = Marker(database=database, folder=folder, since_ns=since_ns)
            file.write(_text(marker))
            file.flush()
            os.fsync(file.fileno())
        _put(temporary, images / NAME)
    except OSError as exc:
        msg = (
            f"Images must be writable, but {exc.filename or images} gives: "
            f"{exc.strerror}; check the mode of NIGHTSWEEP_IMAGES and the disk, or "
            "name another folder."
        )
        raise ImageStoreError(msg) from exc
    finally:
        with suppress(OSError):
            temporary.unlink()


def _create(bucket: "Bucket", name: str, *, database: str, folder: str) -> None:
    """Write the marker of a bucket on condition that there is none."""
    since_ns = 0
    if {*bucket.names("")} & {*FOLDERS}:
        bucket.save(name, b"")  # its time is by the clock of the store
        stamp = bucket.look_at(name)
        bucket.remove([name])
        since_ns = stamp.written_ns if stamp else time.time_ns()
    marker = Marker(database=database, folder=folder, since_ns=since_ns)
    bucket.create(NAME, _text(marker))


def _text(marker: Marker) -> bytes:
    return json.dumps(asdict(marker)).encode() + b"\n"


def _get(images: BucketAddress) -> bytes | None:
    try:
        return bucket_at(images).read(NAME)[0]
    except FileNotFoundError:
        return None


def _put(temporary: Path, marker: Path) -> None:
    try:
        marker.hardlink_to(temporary)
    except FileExistsError:
        if marker.stat().st_size == 0:
            _replace_empty(temporary, marker)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _replace_empty(temporary, marker)


def _replace_empty(temporary: Path, marker: Path) -> None:
    """Put a marker in the place of an empty one, or of none, unless another is first.

    Every process locks the empty one. So the first has time to replace it, and a kill
    frees the lock.
    """
    with marker.open("ab") as file:
        with suppress(OSError):  # without locks, two at the same moment may clash
            fcntl.flock(file, fcntl.LOCK_EX)
        if marker.stat().st_size == 0:
            temporary.replace(marker)


def _read(images: Path) -> bytes | None:
    try:
        return (images / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        msg = (
            f"Images must be readable, but {exc.filename or images / NAME} gives: "
            f"{exc.strerror}; check NIGHTSWEEP_IMAGES, the folder's mode and the disk."
        )
        raise ImageStoreError(msg) from exc
