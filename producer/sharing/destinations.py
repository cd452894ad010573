"""Where an export goes: a folder, or a zip file, which are there only once whole.

All is written to `NAME.partial`, a folder beside it, which is renamed or removed at the
end. A folder goes on after a kill with what it has; a zip file begins again. A finished
folder of the same query is completed in its place.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from storage.errors import ImageStoreError, UsageError
from storage.sharing.manifest import HEADER
from storage.sharing.shared_items import File

#: What an unfinished export says of itself.
_BEGUN = ".export.json"
_CHUNK_BYTES = 2**20
#: The date of zip entries that have none: the same content, the same file.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
Asked = Mapping[str, Any]


class Destination(ABC):
    """An export that is being written.

    Attributes:
        texts: A folder for files other than pictures; all that is in it is added.
    """

    def __init__(self, texts: Path) -> None:
        """Take a folder that exists."""
        self.texts = texts

    @abstractmethod
    def add(self, source: Path, name: str, *, made_at: str = "") -> File:
        """Add a copy of a picture.

        Args:
            source: The file.
            name: Its path in the export, with `/` between the parts.
            made_at: When it was made; ISO 8601, UTC.

        Raises:
            FileNotFoundError: It is not there.
            ImageStoreError: The export cannot be written.
        """


class FolderDestination(Destination):
    """A folder."""

    def __init__(self, texts: Path, root: Path, *, is_linked: bool) -> None:
        """Take where pictures go, and whether they are linked instead of copied."""
        super().__init__(texts)
        self._root = root
        self._is_linked = is_linked

    def add(self, source: Path, name: str, *, made_at: str = "") -> File:
        """Add a picture, unless an interrupted export has added it."""
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        target = self._root / name
        with _writing(target):
            if not _is_same(target, size, digest):
                target.parent.mkdir(parents=True, exist_ok=True)
                self._put(source, target)
        return File(name=name, size_bytes=size, sha256=digest)

    def _put(self, source: Path, target: Path) -> None:
        fresh = target.with_name(f".{target.name[-40:]}.tmp")
        fresh.unlink(missing_ok=True)
        if self._is_linked:
            _link(source, fresh)
        else:
            shutil.copy2(source, fresh)
        fresh.replace(target)


class ZipDestination(Destination):
    """A zip file, in which pictures are stored as they are."""

    def __init__(self, texts: Path, archive: zipfile.ZipFile) -> None:
        """Take an archive that is open."""
        super().__init__(texts)
        self._archive = archive

    def add(self, source: Path, name: str, *, made_at: str = "") -> File:
        """Add a picture."""
        digest = hashlib.sha256()
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            entry = zipfile.ZipInfo(name, _date(made_at))
            entry.external_attr = 0o644 << 16
            entry.file_size = size
            with self._archive.open(entry, "w") as target:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
        return File(name=name, size_bytes=size, sha256=digest.hexdigest())

    def add_texts(self) -> None:
        """Add all files of `texts`, in the order of their names."""
        for path in sorted(self.texts.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.texts).as_posix()
                entry = zipfile.ZipInfo(name, _NO_DATE)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                with (
                    path.open("rb") as file,
                    self._archive.open(entry, "w", force_zip64=True) as target,
                ):
                    shutil.copyfileobj(file, target, _CHUNK_BYTES)


@contextmanager
def opened(to: Path, asked: Asked, *, is_linked: bool) -> Iterator[Destination]:
    """Open a destination; what it gets is in its place at the end of the block.

    Args:
        to: The folder, or a file that ends in `.zip`.
        asked: What is exported, which a folder must have been begun or made with.
        is_linked: Whether pictures are hard links.

    Raises:
        UsageError: Something else is there, or another export is being written there.
        ImageStoreError: It cannot be written.
    """
    is_zip = to.suffix.lower() == ".zip"
    is_there = _check(to, asked, is_zip=is_zip, is_linked=is_linked)
    with _workspace(to) as partial, _writing(to):
        _begin(partial, asked, to)
        if is_zip:
            yield from _zipped(partial, to)
        else:
            root = to if is_there else partial
            yield FolderDestination(partial, root, is_linked=is_linked)
            if is_there:
                _move_texts(partial, to)
            else:
                partial.replace(to)
                (to / _BEGUN).unlink()


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        msg = (
            "--link must be for a folder on the disk of the images, but "
            f"{source.parent} is on another disk; leave it out."
        )
        raise UsageError(msg) from exc


def _check(to: Path, asked: Asked, *, is_zip: bool, is_linked: bool) -> bool:
    """Refuse what cannot be written; return whether a folder is to be completed."""
    if is_zip and is_linked:
        msg = f"--link must be for a folder, but {to} is a zip file; leave one out."
        raise UsageError(msg)
    if not to.exists() or (not is_zip and to.is_dir() and not any(to.iterdir())):
        return False
    if not is_zip and _asked_of(to / HEADER) == asked:
        return True
    what = "an export of another query" if (to / HEADER).exists() else "there already"
    msg = (
        f"An export must go to a new place, but {to} is {what}; name another one, or "
        "remove it."
    )
    raise UsageError(msg)


def _begin(partial: Path, asked: Asked, to: Path) -> None:
    """Note what is exported; remove what an export of something else has left."""
    begun = partial / _BEGUN
    if any(partial.iterdir()):
        if not begun.exists():
            msg = (
                f"An export must not replace other files, but {partial} is in the way "
                f"of {to}; remove it or name another place."
            )
            raise UsageError(msg)
        if _asked_of(begun) != asked:
            _empty(partial, but=begun)
    begun.write_text(json.dumps({"asked": asked}))


def _zipped(partial: Path, to: Path) -> Iterator[ZipDestination]:
    texts, file = partial / "texts", partial / "export.zip"
    shutil.rmtree(texts, ignore_errors=True)
    texts.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        made = ZipDestination(texts, archive)
        yield made
        made.add_texts()
    with file.open("rb") as written:
        os.fsync(written.fileno())
    file.replace(to)
    shutil.rmtree(partial)


@contextmanager
def _workspace(to: Path) -> Iterator[Path]:
    """Yield the folder beside a destination, which one process has at a time."""
    partial = to.with_name(f"{to.name}.partial")
    with _writing(partial):
        partial.mkdir(parents=True, exist_ok=True)
        held = os.open(partial, os.O_RDONLY)
    try:
        if not _is_locked(held, partial):
            msg = (
                f"One export at a time must go to a place, but another one writes {to}"
                "; wait for its end, or name another place."
            )
            raise UsageError(msg)
        yield partial
    finally:
        os.close(held)


def _is_locked(held: int, partial: Path) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks
        return True
    with suppress(FileNotFoundError):  # the other has just ended
        return partial.stat().st_ino == os.fstat(held).st_ino
    return False


def _asked_of(file: Path) -> Any:
    try:
        return json.loads(file.read_text())["asked"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _move_texts(partial: Path, to: Path) -> None:
    for path in sorted(partial.rglob("*")):
        if path.is_file() and path.name != _BEGUN:
            target = to / path.relative_to(partial)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    shutil.rmtree(partial)


def _empty(folder: Path, *, but: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != but:
            path.unlink()


def _is_same(path: Path, size_bytes: int, digest: str) -> bool:
    try:
        if path.stat().st_size != size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


def _date(made_at: str) -> tuple[int, int, int, int, int, int]:
    try:
        date = time.strptime(made_at[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return _NO_DATE
    return max(_NO_DATE, tuple(date[:6]))  # type: ignore[return-value]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        msg = (
            f"An export must be writable, but {exc.filename or path} gives: "
            f"{exc.strerror}; free some disk space or name another place, and give the "
            "command again."
        )
        raise ImageStoreError(msg) from exc
