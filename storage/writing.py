"""Files that a kill leaves as they were, or whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a path to write to; at the end of the block it takes the file's place.

    Raises:
        OSError: It cannot; the file is as it was.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield fresh
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
