"""Stamps that show whether a file is still the one that was looked at."""

import os
from typing import NamedTuple, Self


class Stamp(NamedTuple):
    """Facts about a file that change whenever its content does.

    Archives set the time of the last write, and a new file may get the old inode, but
    no program sets the time of the last change.

    Attributes:
        device: The file system.
        inode: Where the file is on it.
        size_bytes: Size of the file.
        written_ns: When its content was written; nanoseconds since 1970. Programs
            that restore a file may set this.
        changed_ns: When it was changed in any way, its times included.
    """

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int

    @classmethod
    def of(cls, seen: os.stat_result) -> Self:
        """Return the stamp of a file from its `stat` result."""
        return cls(
            device=seen.st_dev,
            inode=seen.st_ino,
            size_bytes=seen.st_size,
            written_ns=seen.st_mtime_ns,
            changed_ns=seen.st_ctime_ns,
        )
