"""Weights from the Hub: one process fetches a model, the next goes on where it ended.

huggingface_hub gives each download a temporary file of its own, so all that a killed
process had fetched is lost. Here the bytes go to `blobs/<sha256>.incomplete`, a name
that depends on the content alone, and a later process appends what is missing. A lock
beside huggingface_hub's own keeps other processes out. The kernel frees it when its
process ends, however that ends.
"""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from storage.errors import ModelError
from storage.models import hub
from storage.models.hub_errors import translated

logger = logging.getLogger(__name__)


def missing_bytes(
    name: str, listing: hub.Listing, paths: Iterable[str]
) -> Mapping[str, int]:
    """Return how many bytes of each path must still be fetched; nothing for the rest.

    Args:
        name: `org/name`.
        listing: Of the commit.
        paths: Within the repository.
    """
    snapshot = hub.cache_folder(name) / "snapshots" / listing.commit
    left = (path for path in paths if not (snapshot / path).exists())
    return {path: _left_of(name, listing, path) for path in left}


def fetch_weights(name: str, listing: hub.Listing, paths: Iterable[str]) -> None:
    """Fetch files of one commit into the Hub's cache; wait for who fetches the same.

    Args:
        name: `org/name`.
        listing: Of the commit.
        paths: Within the repository, in this order.

    Raises:
        ModelError: A file is not available or not what the Hub states, or the disk is
            too small.
    """
    wanted = list(paths)
    if not missing_bytes(name, listing, wanted):
        return
    with translated(name, listing.commit), _alone(name) as is_alone:
        missing = missing_bytes(name, listing, wanted)
        require_room(name, sum(missing.values()))
        for path in missing:
            # Two that append to one file would spoil it; the library's have two names.
            if is_alone and path in listing.sha256:
                _fetch_blob(name, listing, path)
            hub.fetch(name, path, listing.commit, offline=False)


def require_room(name: str, needed: int) -> None:
    """Refuse a download that does not fit on the disk of the Hub's cache.

    Raises:
        ModelError: Less is free.
    """
    for problem in too_large(name, needed):
        raise ModelError(problem)


def too_large(name: str, needed: int) -> Iterator[str]:
    """Say in one sentence why a download does not fit, if it does not."""
    if needed and needed > (free := free_bytes()):
        yield (
            "the disk of the Hub's cache must have room for what is fetched, but"
            f" {name} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB is free in"
            f" {hub.cache_root()}; make room, or set HF_HUB_CACHE to a larger disk"
        )


def free_bytes() -> int:
    """Return the free bytes on the disk of the Hub's cache."""
    root = hub.cache_root()
    there = next(path for path in (root, *root.parents) if path.exists())
    return shutil.disk_usage(there).free


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """Hold the lock of a model's downloads; yield False on a disk without locks."""
    folder = hub.cache_root() / ".locks" / hub.cache_folder(name).name
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / "nightsweep.lock", os.O_RDWR | os.O_CREAT, 0o664)
    try:
        yield _lock(file, name)
    finally:
        os.close(file)


def _lock(file: int, name: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning(
            "Another process fetches %s; waiting for it.",
            name,
            extra={"action": "download_awaited"},
        )
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _fetch_blob(name: str, listing: hub.Listing, path: str) -> None:
    """Put a file into the cache's blobs, where huggingface_hub then finds it."""
    from huggingface_hub.constants import MAX_HTTP_DOWNLOAD_SIZE

    stated = listing.sha256[path]
    blob = _blob(name, stated)
    if blob.exists() or listing.sizes[path] > MAX_HTTP_DOWNLOAD_SIZE:
        return  # the library fetches a very large file in chunks, from the start
    if hub.etag_of(name, path, listing.commit) != stated:
        return  # a mirror that names its blobs in another way
    part = _part(blob)
    part.parent.mkdir(parents=True, exist_ok=True)
    _fill(part, name, listing, path)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != stated:
        part.unlink()
        msg = (
            f"{path} of {name} must have the SHA-256 that the Hub states, {stated}, but"
            f" what came has {digest}; fetch it again"
        )
        raise ModelError(msg)
    part.replace(blob)


def _fill(part: Path, name: str, listing: hub.Listing, path: str) -> None:
    """Fetch the rest of a file, again and again while each try brings more of it."""
    size = listing.sizes[path]
    while True:
        before = _size_of(part)
        try:
            hub.append(name, path, listing.commit, part=part, size_bytes=size)
        except ModelError:
            if _size_of(part) <= before:
                raise
        else:
            return


def _left_of(name: str, listing: hub.Listing, path: str) -> int:
    size = listing.sizes[path]
    if path not in listing.sha256:
        return size
    blob = _blob(name, listing.sha256[path])
    if blob.exists():
        return 0
    return max(size - _size_of(_part(blob)), 0)


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _blob(name: str, sha256: str) -> Path:
    return hub.cache_folder(name) / "blobs" / sha256


def _part(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")
