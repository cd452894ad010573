"""Copies of images and thumbnails in the folder of an export."""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage.errors import ImageStoreError
from storage.files.fetching import AT_ONCE
from storage.files.images import relative_path
from storage.files.places import place_at
from storage.files.thumbnails import find_or_make
from storage.image_address import ImageAddress

#: Folders of an export.
THUMBS, IMAGES = "thumbs", "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied of one image; paths are relative to the export.

    Attributes:
        key: Of the image.
        thumb: The small picture; empty if the image could not be read.
        file: The picture in full; empty without one.
        size_bytes: Of both.
        problem: Why the image could not be read.
    """

    key: str
    thumb: str = ""
    file: str = ""
    size_bytes: int = 0
    problem: str = ""


def copy_images(
    images: ImageAddress, keys: Sequence[str], folder: Path, *, originals: bool
) -> Iterator[Copied]:
    """Copy thumbnails, and the images themselves if they are wanted; yield what was.

    Args:
        images: Where images are.
        keys: Of the images.
        folder: Where the copies go, in folders of their own.
        originals: Whether images are copied in full.
    """
    for name in (THUMBS, *([IMAGES] if originals else [])):
        (folder / name).mkdir()
    copy = partial(_copy, images, folder, originals=originals)
    # Threads, since disks, buckets and Pillow's decoders do not hold the interpreter.
    threads = os.cpu_count() if isinstance(images, Path) else AT_ONCE
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(copy, keys)


def _copy(images: ImageAddress, folder: Path, key: str, *, originals: bool) -> Copied:
    try:
        small = find_or_make(images, key)
    except ImageStoreError as exc:
        return Copied(key=key, problem=str(exc))
    thumb = f"{THUMBS}/{key}{small.suffix}"
    shutil.copyfile(small, folder / thumb)
    size = (folder / thumb).stat().st_size
    if not originals:
        return Copied(key=key, thumb=thumb, size_bytes=size)
    file = f"{IMAGES}/{key}.png"
    shutil.copyfile(place_at(images).local(relative_path(key)), folder / file)
    size += (folder / file).stat().st_size
    return Copied(key=key, thumb=thumb, file=file, size_bytes=size)
