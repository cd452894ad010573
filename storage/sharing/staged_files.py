"""Files of images that are imported, before they have their names."""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import ImageStoreError
from storage.files.disk import sync_folder
from storage.files.images import ImageFolder
from storage.files.pictures import BROKEN
from storage.image_address import ImageAddress
from storage.jobs.results import Result
from storage.sharing.shared_items import SharedImage
from storage.sharing.sources import UnreadableError


@dataclass(frozen=True, slots=True)
class Staged:
    """An image's file under a name of its own, and the result that describes it."""

    image: SharedImage
    path: Path
    result: Result


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


def write_whole(path: Path, content: bytes) -> None:
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


def rename_all(staged: Iterable[Staged], images: ImageFolder) -> None:
    """Give files the names of their images, in place of what has them.

    Raises:
        ImageStoreError: The image folder cannot be written.
    """
    try:
        paths = []
        for each in staged:
            paths.append(images.path(each.image.job.key))
            each.path.replace(paths[-1])
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
    except OSError as exc:
        raise _unwritable(images.root, exc) from exc


def _unwritable(path: ImageAddress, exc: OSError) -> ImageStoreError:
    msg = (
        f"Images must be writable, but {path} gives: {exc.strerror}; free some disk "
        "space or set NIGHTSWEEP_IMAGES to another folder, and import again."
    )
    return ImageStoreError(msg)
