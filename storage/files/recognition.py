"""Which image of the store a file is: any copy of it, renamed or saved again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.errors import UsageError
from storage.files.images import KEY
from storage.files.pictures import BROKEN, pixel_sha256
from storage.sql.database import Database
from storage.sql.schema import jobs, results


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that holds an image of the store.

    Attributes:
        key: The image's key.
        is_changed: Whether its pixels are not those that were stored. They are not in a
            thumbnail, and in a file of a lossy format.
    """

    key: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class _Content:
    key: str
    pixel_sha256: str


def recognise(database: Database, file: Path) -> list[Copy]:
    """Return the images that a file holds: one, unless several have equal pixels.

    It is found by the key in its metadata, else by its name, else by its pixels.

    Args:
        database: Where the images are.
        file: A picture in any format that Pillow reads.

    Raises:
        UsageError: The file is no picture.
        DatabaseError: The database cannot be read.
    """
    content = _read(file)
    names = [key for key in (content.key, file.stem.lower()) if KEY.fullmatch(key)]
    query = sa.select(jobs.c.key, results.c.pixel_sha256).outerjoin_from(jobs, results)
    with database.read() as connection:
        for name in names:
            found = connection.execute(query.where(jobs.c.key == name)).first()
            if found:
                return [Copy(name, found.pixel_sha256 != content.pixel_sha256)]
        equal = query.where(results.c.pixel_sha256 == content.pixel_sha256)
        rows = connection.execute(equal.order_by(jobs.c.key))
        return [Copy(row.key, is_changed=False) for row in rows]


def _read(file: Path) -> _Content:
    # Imported here: other commands need none of it.
    from PIL import Image

    try:
        with Image.open(file) as image:
            pixels = pixel_sha256(image)  # reads also texts that follow the pixels
            return _Content(_key_in(image.info), pixels)
    except (*BROKEN, Image.DecompressionBombError) as exc:
        msg = f"a file must be an image to be looked up, but Pillow cannot read {file}."
        raise UsageError(msg) from exc


def _key_in(metadata: Mapping[Any, Any]) -> str:
    """Return the key that a worker wrote into the metadata; empty where none did."""
    try:
        return str(json.loads(metadata["nightsweep"])["key"])
    except (KeyError, TypeError, ValueError):
        return ""
