"""Small disks, which a test can fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(
    folder: Path, *, megabytes: int, inodes: int | None = None
) -> Iterator[None]:
    """Make a folder a disk of its own; skip the test where that is forbidden."""
    size = f"size={megabytes}M" + (f",nr_inodes={inodes}" if inodes else "")
    words = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Fill the disk with a file; it is full to the last block."""
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(bytes(4096)):
            pass
