"""The place of images: a folder on a disk, or a bucket, behind the same calls.

Paths are text below the place, with `/`: those of images from `relative_path`, those of
input images below `inputs/`. A write is whole or absent.

| | `Disk` | `Bucket` |
|---|---|---|
| write | temporary file, `fsync`, rename | one put; of two at once, one is refused |
| a thumbnail belongs to its image | same time, to the nanosecond | metadata: its ETag |
| `local` | the file itself | a copy in a cache of bounded size |
| what fails raises | `OSError`; the caller says what for | `ImageStoreError` |

What is not there raises `FileNotFoundError` in both.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from storage.errors import UsageError
from storage.files.disk import Disk, always
from storage.host.file_stamps import Stamp
from storage.image_address import BucketAddress, ImageAddress

if TYPE_CHECKING:
    from storage.files.bucket import Bucket


class Place(Protocol):
    """Where images are; threads may share it.

    Every method may raise `OSError` (a disk) or `ImageStoreError` (a bucket).
    """

    @property
    def address(self) -> ImageAddress:
        """Its folder or bucket."""

    @property
    def readers(self) -> int:
        """How many files are best read at once, where each is decoded, too."""

    def local(self, path: str, *, seen: Stamp | None = None) -> Path:
        """Return a local file with the content that a path has now.

        Of a disk it is the file itself, there or not. Of a bucket it is a copy in the
        cache, fetched if need be. Open it soon: the cache removes what is old.

        Args:
            path: Below the place.
            seen: Its stamp, if it was just looked at; a bucket is not asked again.

        Raises:
            FileNotFoundError: The bucket has no such object.
        """

    def open(self, path: str, *, seen: Stamp) -> tuple[IO[bytes], Stamp]:
        """Open a file that was just looked at; return the stamp of what was opened.

        Of a bucket it is a copy in the cache, fetched if need be.

        Raises:
            FileNotFoundError: There is none.
        """

    def look_at(self, path: str) -> Stamp | None:
        """Return the stamp of a file; None where there is none.

        Raises:
            ImageStoreError: It cannot be looked at.
        """

    def look_at_each(self, paths: Iterable[str]) -> Iterator[Stamp | None]:
        """Return the stamps of many, in their order; faster where answers take time."""

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """Return a whole file, and its stamp.

        Raises:
            FileNotFoundError: There is none.
        """

    def save(
        self,
        path: str,
        content: bytes,
        thumbnail: bytes | None = None,
        *,
        is_mine: Callable[[], bool] = always,
    ) -> bool:
        """Write a file, whole and durable, then its thumbnail if that is possible.

        A second write replaces the first and outdates its thumbnail.

        Args:
            path: Below the place.
            content: All of it.
            thumbnail: None for none.
            is_mine: Whether the file is still the caller's to write; a bucket asks
                before it replaces an object.

        Returns:
            Whether it was written; False only if `is_mine` said no.
        """

    def save_thumbnail(self, image: str, content: bytes, *, of: Stamp) -> Path | None:
        """Write a thumbnail; return a local file with it, None if that failed.

        Args:
            image: The image's path.
            content: The thumbnail.
            of: The image that it was made from.
        """

    def find_thumbnail(self, image: str, *, of: Stamp) -> Path | None:
        """Return a local file with the whole thumbnail of just this image, or None."""

    def is_whole_thumbnail(self, path: str) -> bool:
        """Return whether a thumbnail has all of its bytes."""

    def touch(self, path: str) -> bool:
        """Make a file as new as one written now; return whether it is there."""

    def names(self, folder: str) -> Sequence[str]:
        """Return the names of what is in a folder; empty for the place itself."""

    def list_shard(self, folder: str) -> Sequence[str]:
        """Return the paths of all files two folders down: `ab/cd/name` for `ab`."""

    def move(self, path: str, to: str) -> None:
        """Give a file another path.

        Raises:
            FileNotFoundError: There is none.
        """

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files, as far as they are there."""


def place_at(address: ImageAddress) -> Place:
    """Open the place of images at an address; nothing is read yet.

    Raises:
        UsageError: It is a bucket, and the package for buckets is not installed.
    """
    return Disk(address) if isinstance(address, Path) else bucket_at(address)


def find_local(images: ImageAddress, path: str) -> Path | None:
    """Return a local file with the content that a path has now; None without one.

    Raises:
        ImageStoreError: The place cannot be reached.
    """
    with suppress(FileNotFoundError):
        file = place_at(images).local(path)
        return file if file.exists() else None
    return None


def bucket_at(address: BucketAddress) -> "Bucket":
    """Open a bucket; nothing is asked yet.

    Raises:
        UsageError: The package for buckets is not installed.
    """
    # Imported here: without a bucket, nothing needs it.
    try:
        from storage.files.bucket import open_bucket
    except ImportError as exc:
        msg = (
            "Images in a bucket need the package obstore, which is not installed, but "
            f"NIGHTSWEEP_IMAGES is {address}; run `pip install 'nightsweep[s3]'`."
        )
        raise UsageError(msg) from exc
    return open_bucket(address)
