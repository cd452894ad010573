"""The room of a disk: its bytes, and its inodes, of which ext4 has a fixed number."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from producer.display.amounts import size

#: Inodes are scarce if less than this part of them is free.
SCARCE = 0.05
#: Seconds that a disk may take to answer; a share whose server is gone never does.
PATIENCE_S = 1.0

# Folders whose disks were asked, and have not answered.
_waiting: set[Path] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """What is free on a disk, for users other than root.

    Attributes:
        free_bytes: Bytes that are free.
        used_bytes: Bytes that files take, of anybody.
        free_inodes: Files and folders that can still be made; None where the file
            system has no limit, or does not say one, as btrfs and many shares.
        inodes: All inodes; None likewise.
    """

    free_bytes: int
    used_bytes: int
    free_inodes: int | None
    inodes: int | None

    @property
    def is_short_of_inodes(self) -> bool:
        """Whether few inodes are left."""
        if self.free_inodes is None or self.inodes is None:
            return False
        return self.free_inodes < SCARCE * self.inodes


def look_at_disk(folder: Path) -> DiskRoom:
    """Return the room on the disk of a folder, or of its nearest parent."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    found = os.statvfs(there)
    has_limit = found.f_files > 0
    return DiskRoom(
        free_bytes=found.f_bavail * found.f_frsize,
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free_inodes=found.f_favail if has_limit else None,
        inodes=found.f_files if has_limit else None,
    )


def describe_disk(folder: Path) -> Iterator[str]:
    """Yield a sentence about the disk of a folder; none where there is no folder yet.

    It waits for a second at the most.
    """
    if folder in _waiting:
        yield _silent(folder)
        return
    said: list[str] = []

    def ask() -> None:
        try:
            if folder.exists():
                said.append(_describe(look_at_disk(folder)))
        except OSError as exc:
            said.append(f"Image disk: {folder} gives: {exc.strerror}.")
        finally:
            _waiting.discard(folder)

    _waiting.add(folder)
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    yield from [_silent(folder)] if thread.is_alive() else said


def too_few_inodes(needed: int, room: DiskRoom) -> Iterator[str]:
    """Yield a warning if a disk has fewer inodes than images will take."""
    free = room.free_inodes
    if free is not None and needed > free:
        yield (
            f"the images need about {needed:,} files and folders, and the disk has "
            f"room for {free:,} more (inodes); remove files, or set NIGHTSWEEP_IMAGES "
            "to another disk"
        )


def _describe(room: DiskRoom) -> str:
    said = f"Image disk: {size(room.free_bytes)} free, {size(room.used_bytes)} used"
    if room.is_short_of_inodes:
        said += f", {room.free_inodes:,} of {room.inodes:,} inodes free"
    return f"{said}."


def _silent(folder: Path) -> str:
    return f"Image disk: no answer from {folder}; see whether its server is reachable."
