"""The image files: `ab/cd/<key>.png` under one folder, each one whole or absent.

The folder may be shared between hosts; the database holds paths relative to it. An
image may have a thumbnail beside it, which can be lost and made again at any time
(`storage.files.thumbnails`). A thumbnail has the time of the image that it was made
from, to the nanosecond; with any other time it is one of an earlier image.
"""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from storage.errors import ImageStoreError
from storage.host.log_rate import RateLimit

log = logging.getLogger(__name__)
log.addFilter(RateLimit())

KEY = re.compile(r"[0-9a-f]{32}")
#: The folders at the top of the image folder; others hold nothing of ours.
FOLDERS = tuple(f"{number:02x}" for number in range(256))


def relative_path(key: str) -> str:
    """Return the path of a job's image below the image folder.

    Raises:
        ValueError: `key` is not 32 hex digits, and so could be any path.
    """
    if not KEY.fullmatch(key):
        msg = f"a key must be 32 hex digits, got {key!r}"
        raise ValueError(msg)
    return f"{key[:2]}/{key[2:4]}/{key}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Space that must stay free on the disk of the images.

    Attributes:
        sweep: The sweep that wants it, in its `limits.min_free`.
        size_bytes: How much.
    """

    sweep: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The folder that holds every image.

    Attributes:
        root: The folder.
        missing: Takes a job's key and the bytes that stay free on the disk once its
            image is written; returns the room that is wanted and not there, or None.
            None where no room is wanted.
        id: Its row in `folders`; None where results note none.
    """

    root: Path
    missing: Callable[[str, int], Room | None] | None = None
    id: int | None = None

    def path(self, key: str) -> Path:
        """Return where the image of a job is, or will be."""
        return self.root / relative_path(key)

    def save(self, key: str, content: bytes, thumbnail: bytes | None = None) -> Path:
        """Write an image so that a crash leaves all of it or nothing.

        Writing the same key again replaces the file, and outdates its thumbnail.

        Args:
            key: The job's.
            content: The PNG.
            thumbnail: Written beside the image if that is possible; None for none.

        Raises:
            ImageStoreError: The image cannot be written, or too little of the disk
                is free.
        """
        path = self.path(key)
        self._check_room(key, len(content) + len(thumbnail or b""))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _replacing(path) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                written_ns = os.fstat(file.fileno()).st_mtime_ns
            sync_folder(path.parent)
        except OSError as exc:
            msg = (
                f"Images must be writable, but {path} gives: {exc.strerror}; free "
                "some disk space or set NIGHTSWEEP_IMAGES to another folder."
            )
            raise ImageStoreError(msg) from exc
        if thumbnail:
            write_thumbnail(path, thumbnail, written_ns=written_ns)
        return path

    def _check_room(self, key: str, size_bytes: int) -> None:
        if self.missing is None:
            return
        free = free_bytes(self.root)
        wanted = self.missing(key, max(free - size_bytes, 0))
        if wanted:
            msg = (
                f"{wanted.size_bytes / 1e9:.1f} GB must stay free where images of "
                f"{wanted.sweep} go (its limits.min_free), but {self.root} has "
                f"{free / 1e9:.1f} GB; free some disk space, or submit {wanted.sweep} "
                "with a lower limit, and the work goes on by itself."
            )
            raise ImageStoreError(msg)


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on a folder's disk for users other than root.

    Raises:
        ImageStoreError: The folder cannot be reached.
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError as exc:
        msg = (
            f"Images must be writable, but {folder} gives: {exc.strerror}; mount it, "
            "or set NIGHTSWEEP_IMAGES to another folder."
        )
        raise ImageStoreError(msg) from exc


def thumbnail_beside(image: Path) -> Path:
    """Return where the thumbnail of an image file is, or would be."""
    return image.with_suffix(".webp")


def write_thumbnail(image: Path, content: bytes, *, written_ns: int) -> bool:
    """Write an image's thumbnail, all of it or nothing; return whether that worked.

    If not, a line in the log says why, once a minute at most.

    Args:
        image: The image file.
        content: The thumbnail.
        written_ns: When the file was written that the thumbnail was made from.
    """
    path = thumbnail_beside(image)
    try:
        with _replacing(path) as file:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(written_ns, written_ns))
    except OSError as exc:
        log.warning(
            "Thumbnails cannot be written: %s gives: %s; free some disk space. They "
            "are made again when somebody looks at them.",
            path,
            exc.strerror,
            extra={"action": "thumbnail_failed"},
        )
        return False
    return True


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` at the end, unless that fails."""
    # Random, not the process id: containers that share a folder share those ids.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Have the names of new files survive a power failure: SQL will have them."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(opened)
    finally:
        os.close(opened)
