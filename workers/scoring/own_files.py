"""Which Python files a worker takes a metric from: only those of its own user.

The name of a metric comes from SQL. Whoever may write there, and into the image folder,
must not be able to have code run.
"""

import os
import stat
from pathlib import Path

from storage.errors import MetricError
from storage.image_address import ImageAddress


def require_own_file(source: str, images: ImageAddress) -> None:
    """Refuse a file that somebody else may have written; a package is taken.

    Args:
        source: A name, `package:Class`, or `/folder/file.py:Class`.
        images: Where images are, to which others may write.

    Raises:
        MetricError: The file is another user's, everybody may write to it, or it lies
            in the image folder.
    """
    place, _, _ = source.rpartition(":")
    if not place.endswith(".py"):
        return
    file = Path(place).resolve()
    try:
        found = file.stat()
    except OSError:
        return  # whoever loads it says so
    is_open = bool(found.st_mode & stat.S_IWOTH)
    is_foreign = found.st_uid not in (0, os.geteuid())
    is_inside = isinstance(images, Path) and file.is_relative_to(images.resolve())
    if is_open or is_foreign or is_inside:
        msg = (
            "the file of a metric must be the worker's own user's, not writable for "
            f"everybody, and outside the image folder, which {file} is not; move it, "
            "or install it as a package"
        )
        raise MetricError(msg)
