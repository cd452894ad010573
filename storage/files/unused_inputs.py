"""Copies of input images that no job names any more; these are removed.

A submission copies its input images before it stores the jobs that name them. So a copy
stays while any sweep is being submitted, and for an hour after a submission used it.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ImageStoreError
from storage.files.inputs import INPUTS, path_of_input
from storage.files.orphans import SETTLED_S
from storage.files.places import place_at
from storage.host.file_stamps import Stamp
from storage.image_address import ImageAddress
from storage.sql.database import Database
from storage.sql.schema import jobs, sweeps

#: Copies that are removed in one transaction.
COPIES = 100

_COPY = re.compile(r"([0-9a-f]{64})\.png")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedInputs:
    """Copies that no job names.

    Attributes:
        images: Where they are.
        digests: Of the copies.
        size_bytes: Their sizes together.
        last_id: Row of the newest job that was looked at.
        age_s: Seconds since a submission used them, at the least.
    """

    images: ImageAddress = Path()
    digests: Sequence[str] = ()
    size_bytes: int = 0
    last_id: int = 0
    age_s: float = SETTLED_S


def find_unused_inputs(
    database: Database, images: ImageAddress, *, age_s: float = 0.0
) -> UnusedInputs:
    """Return the copies that no job names.

    Args:
        database: Where the jobs are.
        images: Where images are.
        age_s: Seconds since a submission used them, at the least; an hour, if less.

    Raises:
        ImageStoreError: The folder cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    age_s = max(age_s, SETTLED_S)
    sizes = {
        digest: stamp.size_bytes
        for digest, stamp in _copies(images)
        if _is_old(stamp, age_s)
    }
    if not sizes:
        return UnusedInputs()
    with database.read() as connection:
        last_id = connection.execute(sa.select(sa.func.max(jobs.c.id))).scalar() or 0
        named = _named(connection, sa.true())
    digests = [digest for digest in sizes if digest not in named]
    return UnusedInputs(
        images=images,
        digests=digests,
        size_bytes=sum(sizes[digest] for digest in digests),
        last_id=last_id,
        age_s=age_s,
    )


def remove_unused_inputs(database: Database, found: UnusedInputs) -> Iterator[int]:
    """Remove copies that are still unused; yield of how many, some at a time.

    Raises:
        ImageStoreError: One of them cannot be removed.
        DatabaseError: SQL cannot be reached.
    """
    for start in range(0, len(found.digests), COPIES):
        page = found.digests[start : start + COPIES]
        with database.write() as connection:
            gone = _remove(connection, page, found)
        yield gone


def _remove(connection: Connection, page: Sequence[str], found: UnusedInputs) -> int:
    if connection.dialect.name != "sqlite":
        # A submission waits here with its sweep, and then looks whether copies left.
        connection.execute(sa.text("LOCK TABLE sweeps IN SHARE MODE"))
    is_under_way = sa.exists().where(sweeps.c.submitting.is_not(None))
    if connection.execute(sa.select(is_under_way)).scalar():
        return 0
    named = _named(connection, jobs.c.id > found.last_id)
    place = place_at(found.images)
    paths = [path_of_input(digest) for digest in page if digest not in named]
    stamps = zip(paths, place.look_at_each(paths), strict=True)
    gone = [path for path, stamp in stamps if stamp and _is_old(stamp, found.age_s)]
    try:
        place.remove(gone)
    except OSError as exc:
        raise _unusable(exc) from exc
    return len(gone)


def _named(connection: Connection, which: sa.ColumnElement[bool]) -> set[str]:
    """Return every digest in the parameters of some jobs, whatever it is of."""
    query = sa.select(jobs.c.extras).where(which, jobs.c.extras != "{}").distinct()
    texts = connection.execute(query).scalars()
    return {digest for text in texts for digest in _DIGEST.findall(text)}


def _copies(images: ImageAddress) -> Iterator[tuple[str, Stamp]]:
    """Yield the digests of copies, and their stamps."""
    place = place_at(images)
    named = map(_COPY.fullmatch, sorted(place.names(INPUTS)))
    digests = [found[1] for found in named if found]
    stamps = place.look_at_each(map(path_of_input, digests))
    for digest, stamp in zip(digests, stamps, strict=True):
        if stamp:
            yield digest, stamp


def _is_old(stamp: Stamp, age_s: float) -> bool:
    return stamp.written_ns / 1e9 < time.time() - age_s


def _unusable(exc: OSError) -> ImageStoreError:
    msg = (
        f"Copies of input images must be readable and removable, but {exc.filename} "
        f"gives: {exc.strerror}; check the mode of NIGHTSWEEP_IMAGES and the disk."
    )
    return ImageStoreError(msg)
