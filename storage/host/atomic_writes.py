"""Atomic writes: a kill leaves a file as it was, or complete."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.host.worker_ids import is_dead, my_name

#: Stands for the `:` in the name of a process, which some file systems refuse.
_COLON = "+"


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end of the block it replaces the file.

    What killed processes of this machine left behind for this file is removed.

    Raises:
        OSError: The file cannot be replaced; it stays as it was.
    """
    _remove_left(file)
    fresh = file.with_name(f".{file.name}.{my_name().replace(':', _COLON)}.tmp")
    try:
        yield fresh
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _remove_left(file: Path) -> None:
    start, end = f".{file.name}.", ".tmp"
    for left in file.parent.glob(f"{glob.escape(start)}*{end}"):
        writer = left.name.removeprefix(start).removesuffix(end)
        if is_dead(writer.replace(_COLON, ":")):
            with suppress(OSError):
                left.unlink()
