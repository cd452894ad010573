"""Where an export is read from: a folder, or a zip file that is never unpacked.

Names come from a stranger: no path leads out of the export, and no file is read beyond
the size that the manifest says.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from storage.errors import UsageError
from storage.sharing.manifest import (
    HEADER,
    IMAGES,
    INPUTS,
    LINES,
    MOST_HEADER,
    MOST_LINE,
    REFERENCES,
)
from storage.sharing.shared_items import File

#: Where the pictures of an export are.
_FOLDERS = (IMAGES, REFERENCES, INPUTS)
#: What `zipfile` and folders raise for content that cannot be read.
_BROKEN = (
    OSError,  # it is not there, or the disk or its mode forbids it
    EOFError,  # an entry ends before its end
    RuntimeError,  # an entry is encrypted; NotImplementedError: of an unknown kind
    UnicodeDecodeError,  # the name of an entry is damaged
    zipfile.BadZipFile,  # it is no zip file, or a checksum differs
    zlib.error,  # the bytes of a compressed entry are damaged
)


class UnreadableError(Exception):
    """A file of an export is missing or damaged; the message is a phrase."""


class _Files(Protocol):
    """The files of an export by their names."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it; raises one of `_BROKEN` or KeyError."""


class Source:
    """An export that is read.

    Attributes:
        where: Its path, for messages.
    """

    def __init__(self, files: _Files, where: Path) -> None:
        """Take what `opened` opens."""
        self.where = str(where)
        self._files = files

    def header(self) -> bytes:
        """Return the content of the header.

        Raises:
            UsageError: There is none: it is no export.
        """
        try:
            with self._files.open(HEADER) as file:
                text = file.read(MOST_HEADER + 1)
        except (*_BROKEN, KeyError) as exc:
            msg = (
                "An import must be of a folder or zip file that `nightsweep export` "
                f"wrote, but {self.where} has no {HEADER} that can be read; name its "
                "top folder, or export it again."
            )
            raise UsageError(msg) from exc
        if len(text) > MOST_HEADER:
            raise _too_long(self.where, HEADER, MOST_HEADER)
        return text

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the manifest.

        Raises:
            UsageError: It cannot be read, or a line is too long.
        """
        try:
            with self._files.open(LINES) as file:
                while line := file.readline(MOST_LINE + 1):
                    if len(line) > MOST_LINE:
                        raise _too_long(self.where, f"a line of {LINES}", MOST_LINE)
                    yield line
        except (*_BROKEN, KeyError) as exc:
            msg = (
                f"An export must have a {LINES} that can be read, but {self.where} "
                f"gives: {exc}; copy it again."
            )
            raise UsageError(msg) from exc

    def read(self, file: File, *, most_bytes: int) -> bytes:
        """Return the content of a picture's file, which is as the manifest says.

        Args:
            file: What the manifest says of it.
            most_bytes: What a picture of its size can have.

        Raises:
            UnreadableError: It is missing, or its content is another.
        """
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] not in _TOPS:
            msg = f"no picture of an export can be called {file.name!r}"
            raise UnreadableError(msg)
        if not 0 <= file.size_bytes <= most_bytes:
            msg = f"{file.name} has more bytes than its image"
            raise UnreadableError(msg)
        try:
            with self._files.open(str(path)) as opened:
                content = opened.read(file.size_bytes + 1)
        except (*_BROKEN, KeyError) as exc:
            msg = f"{file.name} cannot be read"
            raise UnreadableError(msg) from exc
        if hashlib.sha256(content).hexdigest() != file.sha256:
            msg = f"{file.name} is cut short or was changed"
            raise UnreadableError(msg)
        return content


@contextmanager
def opened(where: Path) -> Iterator[Source]:
    """Open an export.

    Raises:
        UsageError: There is none.
    """
    if where.is_dir():
        yield Source(_Folder(where), where)
        return
    try:
        files = zipfile.ZipFile(where)
    except _BROKEN as exc:
        msg = (
            "An import must be of a folder or zip file that `nightsweep export` wrote, "
            f"but {where} is neither; give the path of one."
        )
        raise UsageError(msg) from exc
    with files:
        yield Source(files, where)


class _Folder:
    """The files of a folder; links that lead out of it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def open(self, name: str) -> IO[bytes]:
        """Open a file of the folder."""
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root) or not path.is_file():
            raise KeyError(name)
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


#: The first parts that the path of a picture may have.
_TOPS = frozenset((name,) for name in _FOLDERS)


def _too_long(where: str, part: str, most: int) -> UsageError:
    msg = (
        f"An export must have {most:,} bytes at most in {part}, but {where} has more; "
        "it was not written by `nightsweep export`."
    )
    return UsageError(msg)
