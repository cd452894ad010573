"""Small copies of images, as text that stands in the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from storage.errors import ImageStoreError
from storage.files.fetching import local_each
from storage.image_address import ImageAddress
from storage.store import open_image

#: WebP quality: hardly a difference to the eye at this size.
QUALITY = 82


def thumbnails(
    images: ImageAddress, paths: Sequence[str | None], *, longer_px: int
) -> list[str | None]:
    """Return images as `data:` URLs, with None where a file is gone or damaged.

    Args:
        images: Where images are.
        paths: The images', below it; None stays None.
        longer_px: Pixels of the longer side; a smaller image stays as it is.

    Raises:
        ImageStoreError: The place of images cannot be reached.
    """
    files = local_each(images, filter(None, paths))
    found = [next(files) if path else None for path in paths]
    return [_small(file, longer_px) if file else None for file in found]


def _small(file: Path, longer_px: int) -> str | None:
    try:
        image = open_image(file)
    except ImageStoreError:
        return None
    image.thumbnail((longer_px, longer_px))
    content = io.BytesIO()
    image.save(content, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
