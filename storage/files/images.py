"""The image files: `ab/cd/<key>.png` in one place, each one whole or absent.

The place is a folder or a bucket (`storage.files.places`), which hosts may share; the
database holds paths relative to it. An image may have a thumbnail beside it, which can
be lost and made again at any time (`storage.files.thumbnails`).
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.errors import ImageStoreError
from storage.files.disk import always
from storage.files.places import Place, place_at
from storage.image_address import ImageAddress

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


def thumbnail_of(path: str) -> str:
    """Return the path of the thumbnail of an image."""
    return f"{path.removesuffix('.png')}.webp"


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
    """The folder or bucket that holds every image.

    Attributes:
        root: Its address.
        missing: Takes a job's key and the bytes that stay free on the disk once its
            image is written; returns the room that is wanted and not there, or None.
            None where no room is wanted.
        id: Its row in `folders`; None where results note none.
    """

    root: ImageAddress
    missing: Callable[[str, int], Room | None] | None = None
    id: int | None = None

    @property
    def place(self) -> Place:
        """What reads and writes there."""
        return place_at(self.root)

    def path(self, key: str) -> Path:
        """Return the local file of a job's image; of a bucket, a copy fetched just now.

        Raises:
            FileNotFoundError: The bucket has none; in a folder, the file may be absent.
            ImageStoreError: The bucket cannot be reached.
        """
        return self.place.local(relative_path(key))

    def save(
        self,
        key: str,
        content: bytes,
        thumbnail: bytes | None = None,
        *,
        is_mine: Callable[[], bool] = always,
    ) -> bool:
        """Write an image so that a crash leaves all of it or nothing.

        Writing the same key again replaces the file, and outdates its thumbnail.

        Args:
            key: The job's.
            content: The PNG.
            thumbnail: Written beside the image if that is possible; None for none.
            is_mine: Whether the job is still the caller's; asked first, and by a bucket
                again before it replaces an object.

        Returns:
            Whether it was written; False only if `is_mine` said no.

        Raises:
            ImageStoreError: The image cannot be written, or too little of the disk
                is free.
        """
        if not is_mine():
            return False
        path = relative_path(key)
        self._check_room(key, len(content) + len(thumbnail or b""))
        try:
            return self.place.save(path, content, thumbnail, is_mine=is_mine)
        except OSError as exc:
            msg = (
                f"Images must be writable, but {self.root}/{path} gives: "
                f"{exc.strerror}; free some disk space or set NIGHTSWEEP_IMAGES to "
                "another folder."
            )
            raise ImageStoreError(msg) from exc

    def _check_room(self, key: str, size_bytes: int) -> None:
        # A bucket grows as it is filled.
        if self.missing is None or not isinstance(self.root, Path):
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
