"""A cache of bounded size for what was read from a bucket.

A file's name has a tag of the object's version, so a file is never out of date. It is
whole or absent: a temporary file gets the name at the end. Processes share the cache.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from storage.errors import ImageStoreError

#: The part of its size that a process adds before it looks at the whole cache again.
SLACK = 1 / 16


class Cache:
    """Local copies of objects, the ones that were used last.

    Its files hold `most_bytes` at the most, and `SLACK` of that more for each further
    process that writes at the same time.
    """

    def __init__(self, root: Path, folder: str, *, most_bytes: int) -> None:
        """Look at nothing yet.

        Args:
            root: Folder of all caches, which share the size.
            folder: The folder below it for one bucket.
            most_bytes: How much all caches may hold.
        """
        self._root = root
        self._folder = root / folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._unseen_bytes = most_bytes  # what was there before is not known

    def find(
        self, path: str, tag: str, *, size_bytes: int | None = None
    ) -> Path | None:
        """Return the copy of an object's version, and note its use; None without one.

        Args:
            path: The object's.
            tag: Of its version.
            size_bytes: Of the object; a copy of another size does not count.
        """
        file = self._file(path, tag)
        try:
            seen = file.stat()
            if size_bytes not in (None, seen.st_size):
                return None
            # The last use. The other time stays: browsers know a picture by it.
            os.utime(file, ns=(time.time_ns(), seen.st_mtime_ns))
        except OSError:
            return None
        return file

    def keep(self, path: str, tag: str, content: bytes, *, written_ns: int) -> Path:
        """Keep a copy of an object's version; return its file.

        Args:
            path: The object's.
            tag: Of its version.
            content: All of it.
            written_ns: When the object was written.

        Raises:
            ImageStoreError: The cache cannot be written.
        """
        file = self._file(path, tag)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.utime(temporary, ns=(time.time_ns(), written_ns))
            temporary.replace(file)
        except OSError as exc:
            with suppress(OSError):
                temporary.unlink()
            msg = (
                f"The cache of images must be writable, but {file} gives: "
                f"{exc.strerror}; free some disk space, or set NIGHTSWEEP_HOME to "
                "another folder."
            )
            raise ImageStoreError(msg) from exc
        self._note(len(content))
        return file

    def _file(self, path: str, tag: str) -> Path:
        stem, _, kind = path.rpartition(".")
        return self._folder / f"{stem}.{tag}.{kind}"

    def _note(self, size_bytes: int) -> None:
        """Count what was added; drop what is old before that could be too much."""
        with self._lock:
            self._unseen_bytes += size_bytes
            if self._unseen_bytes > SLACK * self._most_bytes:
                self._unseen_bytes = 0
                self._drop_old()

    def _drop_old(self) -> None:
        """Remove what was used longest ago, but not the newest file."""
        files = sorted(_sizes(self._root))
        total = sum(size for _, size, _ in files)
        for _, size, file in files[:-1]:
            if total <= (1 - SLACK) * self._most_bytes:
                return
            with suppress(OSError):  # another process may be first
                os.unlink(file)  # noqa: PTH108 - of a path from `scandir`
            total -= size


def _sizes(folder: str | Path) -> Iterator[tuple[int, int, str]]:
    """Yield last use, size and path of every file below a folder."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)
                continue
            with suppress(FileNotFoundError):
                seen = entry.stat(follow_symlinks=False)
                yield seen.st_atime_ns, seen.st_size, entry.path
