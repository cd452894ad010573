"""Small copies of images, as text that stands in the page."""

import base64
import io

from storage.errors import ImageStoreError
from storage.files.places import place_at
from storage.image_address import ImageAddress
from storage.store import open_image

#: WebP quality: hardly a difference to the eye at this size.
QUALITY = 82


def thumbnail(images: ImageAddress, path: str, *, longer_px: int) -> str | None:
    """Return an image as a `data:` URL, or None if its file is gone or damaged.

    Args:
        images: Where images are.
        path: The image's, below it.
        longer_px: Pixels of the longer side; a smaller image stays as it is.
    """
    try:
        image = open_image(place_at(images).local(path))
    except (FileNotFoundError, ImageStoreError):
        return None
    image.thumbnail((longer_px, longer_px))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
