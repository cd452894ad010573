"""What an image's file itself says of how it was made."""

from storage.errors import ImageStoreError
from storage.files.images import relative_path
from storage.files.places import place_at
from storage.image_address import ImageAddress

#: Name of the text in which A1111's web UI, and many tools after it, look.
PARAMETERS = "parameters"


def read_parameters(images: ImageAddress, key: str) -> str:
    """Return the parameters of an image in A1111's form; empty if there is no file.

    Args:
        images: Where images are.
        key: The job's.

    Raises:
        ImageStoreError: The file cannot be read.
        ValueError: `key` is not 32 hex digits.
    """
    # Imported here: most commands open no image.
    from PIL import Image

    path = relative_path(key)
    try:
        with Image.open(place_at(images).local(path)) as image:
            return str(image.info.get(PARAMETERS, ""))
    except FileNotFoundError:
        return ""
    except (OSError, SyntaxError) as exc:  # Pillow raises it for a broken PNG
        msg = (
            f"an image must be a readable file, but {images}/{path} gives: {exc}; "
            "`nightsweep verify` finds damaged ones."
        )
        raise ImageStoreError(msg) from exc
