"""The fingerprint of a model: a hash over the files that are loaded.

It is the same for a Hub repository, its cached snapshot and any copy of the folder
under another name, and another one as soon as a loaded file differs by a byte.
"""

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.errors import FingerprintError, ModelError
from storage.job import canonical_json
from storage.models import Located

logger = logging.getLogger(__name__)


class Digests:
    """The SHA-256 of files, remembered by path, size, change time and inode.

    What a file in the Hub's cache is called is not believed: its content is hashed
    once like any other, so that a damaged cache is noticed.

    Args:
        path: JSON file to remember in, or None for this object's lifetime only.
        readonly: Use the file, but never write it.
    """

    def __init__(self, path: Path | None = None, *, readonly: bool = False) -> None:
        self._path = path
        self._readonly = readonly
        self._known: dict[str, list[Any]] = self._read()
        self._new: dict[str, list[Any]] = {}

    def of(self, file: Path) -> str:
        """Give the SHA-256 of a file's content as 64 hex digits.

        Raises:
            ModelError: The file cannot be read, or is being written.
        """
        try:
            real = file.resolve(strict=True)
            stamp = _stamp(real)
            known = self._known.get(str(real))
            if known is not None and known[:3] == stamp:
                return str(known[3])
            with real.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            unchanged = _stamp(real) == stamp
        except OSError as error:
            msg = f"{file} must be readable, got {error.strerror}; check its mode"
            raise ModelError(msg) from error
        if not unchanged:
            msg = f"{file} changed while it was read; wait until it is written"
            raise ModelError(msg)
        self._known[str(real)] = self._new[str(real)] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Write what is new, beside what others have written meanwhile.

        A failure is logged and no more: the digests are computed again next time.
        """
        if self._path is None or self._readonly or not self._new:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        text = json.dumps({**self._read(), **self._new}, indent=0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            logger.warning(
                "Digests cannot be remembered in %s: %s",
                self._path,
                error.strerror,
                extra={"action": "digests_not_saved"},
            )
            return
        self._new.clear()

    def _read(self) -> dict[str, list[Any]]:
        if self._path is None:
            return {}
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(entries, dict):
            return {}
        return {path: entry for path, entry in entries.items() if _is_entry(entry)}


def fingerprint(model: Located, digests: Digests) -> str:
    """Give 32 hex digits over (path, content) of the files that are loaded.

    Neither the model's name nor its commit is in it. `digests` are saved.

    Raises:
        ModelError: A file cannot be read.
    """
    pairs = [
        [file, model.sha256.get(file) or digests.of(model.folder / file)]
        for file in model.files
    ]
    digests.save()
    return hashlib.sha256(canonical_json(sorted(pairs)).encode()).hexdigest()[:32]


def verify(model: Located, planned: str, *, digests: Digests) -> None:
    """Refuse a model whose files are not those that a job was planned with.

    Args:
        model: As located, with all files in its folder.
        planned: The fingerprint in the job.
        digests: Where digests are remembered.

    Raises:
        FingerprintError: The fingerprints differ.
        ModelError: A file cannot be read.
    """
    found = fingerprint(model, digests)
    if found != planned:
        msg = (
            f"{model.name} must have the files that were planned, fingerprint"
            f" {planned}, but {model.folder} has {found}; restore them, or submit the"
            " sweep again to use the new ones"
        )
        raise FingerprintError(msg)


def _stamp(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _is_entry(entry: object) -> bool:
    # Size, change time, inode, SHA-256.
    return isinstance(entry, list) and len(entry) == 4
