"""Files of images that are imported, before they are in their places.

On a disk, a file is written under another name beside its place. An object of a bucket
is whole or absent by itself: it is put at once where there is none; any other that is
there at the end is replaced, if the image is still nobody's.
"""

import io
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import ImageStoreError
from storage.files.bucket_versions import tag_in
from storage.files.disk import sync_folder
from storage.files.images import relative_path
from storage.files.pictures import BROKEN
from storage.files.places import bucket_at
from storage.image_address import ImageAddress
from storage.jobs.results import Result
from storage.sharing.shared_items import SharedImage
from storage.sharing.sources import UnreadableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An image's file that waits for its place, and the result that describes it.

    Attributes:
        image: What the export says of it.
        result: Its row to be.
        file: On a disk, the file under a name of its own.
        content: For a bucket, what its object is to hold.
        tag: Of the version that was put already; None where another one was there.
    """

    image: SharedImage
    result: Result
    file: Path | None = None
    content: bytes = b""
    tag: str | None = None

    @property
    def key(self) -> str:
        """The job's."""
        return self.image.job.key

    def discard(self) -> None:
        """Remove a file that did not get its place."""
        if self.file:
            self.file.unlink(missing_ok=True)


def stage(
    image: SharedImage, result: Result, content: bytes, *, images: ImageAddress
) -> Staged:
    """Write an image's file, so that it only has to be put in its place.

    Raises:
        ImageStoreError: It cannot be written.
    """
    path = relative_path(image.job.key)
    if not isinstance(images, Path):
        tag = bucket_at(images).create(path, content)
        return Staged(image=image, result=result, content=content, tag=tag)
    place = images / path
    # As workers call such files, so that `verify` removes what a kill leaves.
    file = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
    _write_whole(file, content)
    return Staged(image=image, result=result, file=file)


def decode(content: bytes, name: str, *, most_pixels: int) -> Any:
    """Return the RGB picture of a PNG.

    Raises:
        UnreadableError: It is none, or has more pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > most_pixels:
                msg = f"{name} has more pixels than its image"
                raise UnreadableError(msg)
            return image.convert("RGB")
    except (*BROKEN, Image.DecompressionBombError) as exc:
        msg = f"{name} is no PNG that can be read"
        raise UnreadableError(msg) from exc


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file, and have it survive a power failure.

    Raises:
        ImageStoreError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise _unwritable(path, exc) from exc


def put_in_place(staged: Collection[Staged], images: ImageAddress) -> None:
    """Put files in the places of their images, instead of what is there.

    Raises:
        ImageStoreError: The place of images cannot be written.
    """
    if isinstance(images, Path):
        _rename_all(staged, images)
        return
    bucket = bucket_at(images)
    paths = [relative_path(each.key) for each in staged]
    stamps = bucket.look_at_each(paths)
    for each, path, stamp in zip(staged, paths, stamps, strict=True):
        # A worker that was killed since then may have put another picture there.
        if stamp is None or tag_in(stamp) != each.tag:
            bucket.save(path, each.content)


def _rename_all(staged: Collection[Staged], images: Path) -> None:
    try:
        paths = []
        for each in staged:
            assert each.file  # noqa: S101 - on a disk each has one
            paths.append(images / relative_path(each.key))
            each.file.replace(paths[-1])
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
    except OSError as exc:
        raise _unwritable(images, exc) from exc


def _unwritable(path: ImageAddress, exc: OSError) -> ImageStoreError:
    msg = (
        f"Images must be writable, but {path} gives: {exc.strerror}; free some disk "
        "space or set NIGHTSWEEP_IMAGES to another folder, and import again."
    )
    return ImageStoreError(msg)
