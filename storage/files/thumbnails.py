"""Thumbnails: `ab/cd/<key>.webp` beside an image, for pages with many images.

Workers write them (`storage.files.images`). One that is missing, damaged or of an
earlier image is made when somebody wants it: losing one loses nothing.
"""

import errno
import io
import logging
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from storage.errors import ImageStoreError
from storage.files.disk import thumbnail_beside
from storage.files.images import relative_path
from storage.files.pictures import BROKEN
from storage.files.places import Place, place_at
from storage.host.file_stamps import Stamp
from storage.host.log_rate import RateLimit
from storage.image_address import ImageAddress

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
log.addFilter(RateLimit())

#: Pixels of the longer side. A smaller image is its own thumbnail.
SIDE_PX = 256
#: WebP quality: hardly a difference to the eye at this size.
QUALITY = 80
#: WebP method: a third of the time of the default, 4, for 7 % more bytes.
METHOD = 1
#: Before it is resampled, an image is reduced by a whole number to this many times the
#: size at least: a quarter of the time, and no difference that WebP would keep.
REDUCING_GAP = 1.0

#: Bytes for each of its pixels, about; measured on 1/f noise, which is as hard to
#: compress as photographs.
PIXEL_BYTES = 0.2


def thumbnail_path(images: Path, key: str) -> Path:
    """Return where in a folder the thumbnail of a job's image is, or would be.

    Raises:
        ValueError: `key` is not 32 hex digits.
    """
    return thumbnail_beside(images / relative_path(key))


def encode_thumbnail(image: "Image") -> bytes | None:
    """Return the bytes of an image's thumbnail; None if it is small enough itself.

    None also if Pillow cannot make it, which a line in the log says, once a minute at
    most: a picture is not lost for want of its thumbnail.

    Args:
        image: RGB.
    """
    # Imported here: paths and checks of sizes do not need it.
    from PIL.Image import Resampling

    size = _size(*image.size)
    if size is None:
        return None
    out = io.BytesIO()
    try:
        small = image.resize(size, Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
        small.save(out, "WEBP", quality=QUALITY, method=METHOD)
    except (OSError, MemoryError, KeyError, ValueError) as exc:
        log.warning(
            "Thumbnails cannot be made: Pillow says: %r; end other programs, or "
            "install a Pillow with WebP. Until then, images are shown in full.",
            exc,
            extra={"action": "thumbnail_failed"},
        )
        return None
    return out.getvalue()


def estimate_thumbnail_bytes(width: int, height: int) -> float:
    """Return about how large the thumbnail of an image of this size is; 0 for none."""
    small = _size(width, height)
    return small[0] * small[1] * PIXEL_BYTES if small else 0.0


def find_or_make(images: ImageAddress, key: str) -> Path:
    """Return a local file that shows an image in small: a WebP, or else the PNG itself.

    The PNG serves as its own thumbnail where both its sides are at most `SIDE_PX`, and
    where the thumbnail cannot be made or written. Threads and processes may call this
    at once.

    Args:
        images: Where images are.
        key: The job's.

    Raises:
        ImageStoreError: The image is gone or damaged, or cannot be reached.
        ValueError: `key` is not 32 hex digits.
    """
    place, path = place_at(images), relative_path(key)
    stamp = place.look_at(path)
    if stamp is None:
        raise _unreadable(images, path, os.strerror(errno.ENOENT))
    thumbnail = place.find_thumbnail(path, of=stamp) or _make(place, path, stamp)
    try:
        return thumbnail or place.local(path, seen=stamp)
    except FileNotFoundError as exc:  # gone since it was looked at
        raise _unreadable(images, path, exc.strerror) from exc


def _size(width: int, height: int) -> tuple[int, int] | None:
    longer = max(width, height)
    if longer <= SIDE_PX:
        return None
    small_width, small_height = (
        max(1, round(side * SIDE_PX / longer)) for side in (width, height)
    )
    return small_width, small_height


def _make(place: Place, path: str, seen: Stamp) -> Path | None:
    """Make the thumbnail of an image; return a local file of it if there is one now."""
    from PIL.Image import DecompressionBombError

    try:
        # Another version may be there by now.
        file, stamp = place.open(path, seen=seen)
        with file:
            thumbnail = _encode_file(file)
    except (*BROKEN, DecompressionBombError) as exc:
        raise _unreadable(place.address, path, str(exc)) from exc
    return place.save_thumbnail(path, thumbnail, of=stamp) if thumbnail else None


def _encode_file(file: IO[bytes]) -> bytes | None:
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as image:
        # Before its pixels are read.
        return encode_thumbnail(image.convert("RGB")) if _size(*image.size) else None


def _unreadable(images: ImageAddress, path: str, reason: str | None) -> ImageStoreError:
    msg = (
        f"An image must be a readable file, but {images}/{path} gives: "
        f"{reason}; is "
        "NIGHTSWEEP_IMAGES where the workers write? `nightsweep verify` "
        "finds what is lost."
    )
    return ImageStoreError(msg)
