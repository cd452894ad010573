"""Versions of the objects of a bucket: which one was read, written or looked at."""

import hashlib
from typing import TYPE_CHECKING

from storage.host.file_stamps import Stamp

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion


def condition_of(meta: "ObjectMeta") -> "PutMode":
    """Return the condition of a put that replaces just this version."""
    version: UpdateVersion = {}
    if meta["e_tag"]:
        version["e_tag"] = meta["e_tag"]
    if meta["version"]:
        version["version"] = meta["version"]
    return version or "overwrite"  # a store without versions


def stamp_of(meta: "ObjectMeta") -> Stamp:
    """Return the stamp of a version; its inode stands for the ETag."""
    written_ns = int(meta["last_modified"].timestamp()) * 10**9
    return Stamp(
        device=0,
        inode=_number(meta["e_tag"] or str(meta["last_modified"])),
        size_bytes=meta["size"],
        written_ns=written_ns,
        changed_ns=written_ns,
    )


def _number(e_tag: str) -> int:
    """Return a number that stands for a version; some stores add quotes to its ETag."""
    digest = hashlib.sha256(e_tag.strip('"').encode()).digest()
    return int.from_bytes(digest[:8])


def tag_of(e_tag: str) -> str:
    """Return a tag of the version with an ETag."""
    return f"{_number(e_tag):016x}"


def tag_in(stamp: Stamp) -> str:
    """Return the tag of the version with a stamp."""
    return f"{stamp.inode:016x}"
