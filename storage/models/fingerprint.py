"""The fingerprint of a model: a hash over the files that are loaded.

It is the same for a Hub repository, its cached snapshot and any copy of the folder
under another name. It differs as soon as one byte of a loaded file differs.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import FingerprintError, ModelError
from storage.host.atomic_writes import replacing
from storage.host.file_stamps import Stamp
from storage.job import canonical_json
from storage.models.components import first_version
from storage.models.located import Located

logger = logging.getLogger(__name__)

#: For this many nanoseconds after its last change, a file counts as being written. File
#: system clocks tick in milliseconds, FAT's in two seconds: a second write in the same
#: tick leaves the stamp unchanged.
UNSETTLED_NS = 2 * 10**9

#: The stamp of a file, and its SHA-256.
Entry = tuple[Stamp, str]


class Digests:
    """The SHA-256 of files, remembered by path and `Stamp`.

    The name of a file in the Hub's cache is not trusted: its content is hashed once
    like any other, so that a damaged cache is noticed. A file that was changed a moment
    ago is hashed, but not remembered.

    Args:
        path: JSON file for the digests; None remembers them in this object only.
        readonly: Use the file, but never write it.
        afresh: Ignore the remembered digests, and hash every file.
        now_ns: Returns the time in nanoseconds since 1970.
        progress: Called with each model that has files to hash, before hashing.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        readonly: bool = False,
        afresh: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
        progress: Callable[[Located], object] | None = None,
    ) -> None:
        self._path = path
        self._readonly = readonly
        self._now_ns = now_ns
        self._progress = progress
        self._known: dict[str, Entry] = {} if afresh else self._read()
        self._new: dict[str, Entry] = {}

    def tell(self, model: Located) -> None:
        """Call `progress` if a file of a model must be hashed."""
        files = (model.path(each) for each in model.files if each not in model.sha256)
        if self._progress and not all(map(self._is_known, files)):
            self._progress(model)

    def of(self, file: Path) -> str:
        """Return the SHA-256 of a file's content as 64 hex digits.

        Raises:
            ModelError: The file cannot be read, or is being written.
        """
        try:
            real = file.resolve(strict=True)
            stamp = Stamp.of(real.stat())
            known, remembered = self._known.get(str(real), (None, ""))
            if known == stamp:
                return remembered
            is_settled = self._now_ns() - stamp.changed_ns > UNSETTLED_NS
            with real.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            unchanged = Stamp.of(real.stat()) == stamp
        except OSError as error:
            msg = f"{file} must be readable, got {error.strerror}; check its mode"
            raise ModelError(msg) from error
        if not unchanged:
            msg = f"{file} changed while it was read; wait until it is written"
            raise ModelError(msg)
        if is_settled:
            self._known[str(real)] = self._new[str(real)] = (stamp, digest)
        return digest

    def save(self) -> None:
        """Add the new digests to the file, and keep what others wrote there meanwhile.

        A failure is only logged: the digests are computed again next time.
        """
        if self._path is None or self._readonly or not self._new:
            return
        entries = {**self._read(), **self._new}.items()
        written = {path: [*stamp, digest] for path, (stamp, digest) in entries}
        text = json.dumps(written, indent=0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as fresh:
                fresh.write_text(text, encoding="utf-8")
        except OSError as error:
            logger.warning(
                "Digests cannot be remembered in %s: %s",
                self._path,
                error.strerror,
                extra={"action": "digests_not_saved"},
            )
            return
        self._new.clear()

    def _is_known(self, file: Path) -> bool:
        try:
            real = file.resolve(strict=True)
            return self._known.get(str(real), (None,))[0] == Stamp.of(real.stat())
        except OSError:
            return True  # it cannot be hashed either

    def _read(self) -> dict[str, Entry]:
        if self._path is None:
            return {}
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(entries, dict):
            return {}
        found = {path: _entry_from(written) for path, written in entries.items()}
        return {path: entry for path, entry in found.items() if entry}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """The fingerprint of a model, and those that earlier versions gave it.

    Attributes:
        current: Fingerprint over all files that are loaded.
        former: Over the files that earlier versions knew of, if those are fewer.
    """

    current: str
    former: tuple[str, ...]

    def __contains__(self, planned: str) -> bool:
        """Return whether a job planned with this fingerprint means this model."""
        return planned == self.current or planned in self.former


def fingerprints(model: Located, digests: Digests) -> Fingerprints:
    """Return a model's fingerprints, each 32 hex digits over (path, content) of files.

    Neither the model's name nor its commit is part of them, nor the name of a single
    file. What such a file is known to need of its scheduler is. `digests` are saved.

    Raises:
        ModelError: A file cannot be read.
    """
    digests.tell(model)
    known = {
        file: model.sha256.get(file) or digests.of(model.path(file))
        for file in model.files
    }
    digests.save()
    if model.checkpoint is not None:
        options = [model.scheduler_options] if model.scheduler_options else []
        return Fingerprints(current=_over(known, model.files, *options), former=())
    first = first_version(model.files, model.index)
    return Fingerprints(
        current=_over(known, model.files),
        former=() if first == model.files else (_over(known, first),),
    )


def fingerprint(model: Located, digests: Digests) -> str:
    """Return a model's current fingerprint; see `fingerprints`.

    Raises:
        ModelError: A file cannot be read.
    """
    return fingerprints(model, digests).current


def _over(known: Mapping[str, str], files: Iterable[str], *more: object) -> str:
    pairs = sorted([file, known[file]] for file in files)
    text = canonical_json([*pairs, *more])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def verify(model: Located, planned: str, *, digests: Digests) -> Fingerprints:
    """Refuse a model whose files are not those that a job was planned with.

    Args:
        model: As located, with all files in its folder.
        planned: The fingerprint in the job.
        digests: Where digests are remembered.

    Returns:
        All fingerprints that the files have.

    Raises:
        FingerprintError: `planned` is not among them.
        ModelError: A file cannot be read.
    """
    found = fingerprints(model, digests)
    if planned not in found:
        msg = (
            f"{model.name} must have the files that were planned, fingerprint"
            f" {planned}, but {model.folder} has {found.current}; restore them, or"
            " submit the sweep again to use the new ones"
        )
        raise FingerprintError(msg)
    return found


class Seal:
    """Checks whether the files of a model are still the ones noted at the start."""

    def __init__(self, model: Located) -> None:
        """Note the state of the files; call it before they are read.

        Raises:
            ModelError: The state of a file cannot be read.
        """
        self._name = model.name
        self._files = [model.path(file) for file in model.files]
        self._stamps = self._look()

    @property
    def is_whole(self) -> bool:
        """Whether no file was changed or removed."""
        try:
            return self._look() == self._stamps
        except ModelError:
            return False

    def check(self) -> None:
        """Refuse a model of which a file was changed or removed.

        Raises:
            ModelError: A file was changed or removed.
        """
        if not self.is_whole:
            msg = (
                f"the files of {self._name} must not change while images are made with"
                " them, but they did; leave them alone, or copy the model elsewhere"
            )
            raise ModelError(msg)

    @property
    def changed_at_ns(self) -> int:
        """Time of the last change to any file, in nanoseconds since 1970."""
        return max(stamp.changed_ns for stamp in self._stamps)

    def _look(self) -> list[Stamp]:
        try:
            return [Stamp.of(file.stat()) for file in self._files]
        except OSError as error:
            msg = f"{error.filename} must be readable, got {error.strerror}"
            raise ModelError(msg) from error


def _entry_from(written: object) -> Entry | None:
    # Entries of earlier versions had shorter stamps, which a replaced file could share.
    if not isinstance(written, list) or len(written) != len(Stamp._fields) + 1:
        return None
    *stamp, digest = written
    return Stamp(*stamp), digest
