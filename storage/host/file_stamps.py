"""What tells that a file is still the one that was looked at."""

import os
from typing import NamedTuple, Self


class Stamp(NamedTuple):
    """What changes whenever a file's content does.

    Archives set the time of the last write, and a new file may get the old inode, but
    no program sets the time of the last change.

    Attributes:
        device: The file system.
        inode: Where the file is on it.
        size_bytes: Of the file.
        written_ns: When its content was written; nanoseconds since 1970. Whoever
            restores a file may set this.
        changed_ns: When it was changed in any way, its times included.
    """

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int

    @classmethod
    def of(cls, seen: os.stat_result) -> Self:
        """Return the stamp of a file that was looked at."""
        return cls(
            device=seen.st_dev,
            inode=seen.st_ino,
            size_bytes=seen.st_size,
            written_ns=seen.st_mtime_ns,
            changed_ns=seen.st_ctime_ns,
        )
