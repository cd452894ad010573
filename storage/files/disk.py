"""Images in a folder on a disk, which hosts may share."""

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import IO

from storage.errors import ImageStoreError
from storage.host.file_stamps import Stamp
from storage.host.log_rate import RateLimit

log = logging.getLogger(__name__)
log.addFilter(RateLimit())

_WEBP_HEADER = 12


def always() -> bool:
    """Return True: nobody else writes this file."""
    return True


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder of images; see `storage.files.places.Place`.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def address(self) -> Path:
        """The folder."""
        return self.root

    @property
    def readers(self) -> int:
        """How many files are best read at once."""
        return os.cpu_count() or 1

    def local(self, path: str, *, seen: Stamp | None = None) -> Path:
        """Return the file itself, there or not."""
        del seen
        return self.root / path

    def open(self, path: str, *, seen: Stamp) -> tuple[IO[bytes], Stamp]:
        """Open a file; return the stamp of what was opened, too."""
        del seen  # a worker may have replaced it since
        file = (self.root / path).open("rb")
        return file, Stamp.of(os.fstat(file.fileno()))

    def look_at(self, path: str) -> Stamp | None:
        """Return the stamp of a file; None where there is none."""
        try:
            seen = os.stat(f"{self.root}/{path}")  # noqa: PTH116 - half the time of a Path
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise unreadable(exc) from exc
        return Stamp.of(seen) if S_ISREG(seen.st_mode) else None

    def look_at_each(self, paths: Iterable[str]) -> Iterator[Stamp | None]:
        """Return the stamps of many, in their order."""
        return map(self.look_at, paths)

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """Return a whole file, and its stamp."""
        with (self.root / path).open("rb") as file:
            # Of the file that is read: a worker may replace it meanwhile.
            return file.read(), Stamp.of(os.fstat(file.fileno()))

    def save(
        self,
        path: str,
        content: bytes,
        thumbnail: bytes | None = None,
        *,
        is_mine: Callable[[], bool] = always,
    ) -> bool:
        """Write an image so that a crash leaves all of it or nothing."""
        del is_mine  # a disk cannot replace one certain file only
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(file) as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
            written_ns = os.fstat(opened.fileno()).st_mtime_ns
        sync_folder(file.parent)
        if thumbnail:
            write_thumbnail(file, thumbnail, written_ns=written_ns)
        return True

    def save_thumbnail(self, image: str, content: bytes, *, of: Stamp) -> Path | None:
        """Write a thumbnail; return it, None if that failed."""
        file = self.root / image
        is_there = write_thumbnail(file, content, written_ns=of.written_ns)
        return thumbnail_beside(file) if is_there else None

    def find_thumbnail(self, image: str, *, of: Stamp) -> Path | None:
        """Return the thumbnail of just this image, or None."""
        thumbnail = thumbnail_beside(self.root / image)
        return thumbnail if is_whole(thumbnail, written_ns=of.written_ns) else None

    def is_whole_thumbnail(self, path: str) -> bool:
        """Return whether a thumbnail has all of its bytes."""
        return is_whole(f"{self.root}/{path}")

    def touch(self, path: str) -> bool:
        """Make a file as new as one written now; return whether it is there."""
        file = self.root / path
        with suppress(OSError):  # it may be another user's, or for reading only
            os.utime(file)
        return file.exists()

    def names(self, folder: str) -> Sequence[str]:
        """Return the names of what is in a folder; empty for the root."""
        try:
            return os.listdir(f"{self.root}/{folder}")  # noqa: PTH208 - a tenth of the time of Paths
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise unreadable(exc) from exc

    def list_shard(self, folder: str) -> Sequence[str]:
        """Return the paths of all files two folders down: `ab/cd/name` for `ab`."""
        return [
            f"{folder}/{inner}/{name}"
            for inner in self.names(folder)
            if len(inner) == len(folder)
            for name in self.names(f"{folder}/{inner}")
        ]

    def move(self, path: str, to: str) -> None:
        """Give a file another path."""
        there = self.root / to
        there.parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(there)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files, as far as they are there."""
        for path in paths:
            (self.root / path).unlink(missing_ok=True)


def unreadable(exc: OSError) -> ImageStoreError:
    """Return the error for a file or folder that the disk refuses to read."""
    msg = (
        f"Images must be readable, but {exc.filename} gives: {exc.strerror}; check "
        "NIGHTSWEEP_IMAGES, the folder's mode and the disk."
    )
    return ImageStoreError(msg)


def is_whole(thumbnail: Path | str, *, written_ns: int | None = None) -> bool:
    """Return whether a thumbnail is there and has all of its bytes.

    Args:
        thumbnail: The file.
        written_ns: When the image was written; if given, the thumbnail must be the one
            that was made from this very file.
    """
    try:
        # Half the time of a Path's `open`.
        with open(thumbnail, "rb", buffering=0) as file:  # noqa: PTH123
            seen = os.fstat(file.fileno())
            header = file.read(_WEBP_HEADER)
    except OSError:
        return False
    size = int.from_bytes(header[4:8], "little") + 8
    is_webp = header[:4] == b"RIFF" and header[8:] == b"WEBP" and size == seen.st_size
    return is_webp and written_ns in (None, seen.st_mtime_ns)


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
