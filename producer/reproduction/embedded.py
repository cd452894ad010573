"""What an image's file itself says of how it was made."""

from pathlib import Path

from storage.errors import ImageStoreError
from storage.files.images import relative_path

#: Name of the text in which A1111's web UI, and many tools after it, look.
PARAMETERS = "parameters"


def read_parameters(images: Path, key: str) -> str:
    """Return the parameters of an image in A1111's form; empty if there is no file.

    Args:
        images: The image folder.
        key: The job's.

    Raises:
        ImageStoreError: The file cannot be read.
        ValueError: `key` is not 32 hex digits.
    """
    # Imported here: most commands open no image.
    from PIL import Image

    path = images / relative_path(key)
    try:
        with Image.open(path) as image:
            return str(image.info.get(PARAMETERS, ""))
    except FileNotFoundError:
        return ""
    except (OSError, SyntaxError) as exc:  # Pillow raises it for a broken PNG
        msg = (
            f"an image must be a readable file, but {path} gives: {exc}; `nightsweep "
            "verify` finds damaged ones."
        )
        raise ImageStoreError(msg) from exc
