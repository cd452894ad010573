"""A lock that one process of this machine holds at a time; a kill frees it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be; wait while others hold it.

    Raises:
        OSError: The file cannot be made, or its disk has no locks.
    """
    with file.open("ab") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
