"""What tells pictures apart, whatever file they are in."""

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: What Pillow raises for bytes that are no whole image.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error)


def pixel_sha256(image: "Image") -> str:
    """Hash the RGB bytes, row by row: the picture, whatever the file's encoding."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
