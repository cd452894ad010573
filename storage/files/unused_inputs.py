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
from storage.files.inputs import INPUTS
from storage.files.orphans import SETTLED_S
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
        files: The copies.
        size_bytes: Their sizes together.
        last_id: Row of the newest job that was looked at.
        age_s: Seconds since a submission used them, at the least.
    """

    files: Sequence[Path] = ()
    size_bytes: int = 0
    last_id: int = 0
    age_s: float = SETTLED_S


def find_unused_inputs(
    database: Database, images: Path, *, age_s: float = 0.0
) -> UnusedInputs:
    """Return the copies that no job names.

    Args:
        database: Where the jobs are.
        images: The image folder.
        age_s: Seconds since a submission used them, at the least; an hour, if less.

    Raises:
        ImageStoreError: The folder cannot be read.
        DatabaseError: SQL cannot be reached.
    """
    age_s = max(age_s, SETTLED_S)
    sizes = dict(_copies(images, age_s))
    if not sizes:
        return UnusedInputs()
    with database.read() as connection:
        last_id = connection.execute(sa.select(sa.func.max(jobs.c.id))).scalar() or 0
        named = _named(connection, sa.true())
    files = [file for file in sizes if file.stem not in named]
    return UnusedInputs(
        files=files,
        size_bytes=sum(sizes[file] for file in files),
        last_id=last_id,
        age_s=age_s,
    )


def remove_unused_inputs(database: Database, found: UnusedInputs) -> Iterator[int]:
    """Remove copies that are still unused; yield of how many, some at a time.

    Raises:
        ImageStoreError: One of them cannot be removed.
        DatabaseError: SQL cannot be reached.
    """
    for start in range(0, len(found.files), COPIES):
        page = found.files[start : start + COPIES]
        with database.write() as connection:
            gone = _remove(connection, page, found)
        yield gone


def _remove(connection: Connection, page: Sequence[Path], found: UnusedInputs) -> int:
    if connection.dialect.name != "sqlite":
        # A submission waits here with its sweep, and then looks whether copies left.
        connection.execute(sa.text("LOCK TABLE sweeps IN SHARE MODE"))
    is_under_way = sa.exists().where(sweeps.c.submitting.is_not(None))
    if connection.execute(sa.select(is_under_way)).scalar():
        return 0
    named = _named(connection, jobs.c.id > found.last_id)
    gone = [file for file in page if file.stem not in named and _is_old(file, found)]
    try:
        for file in gone:
            file.unlink(missing_ok=True)
    except OSError as exc:
        raise _unusable(exc) from exc
    return len(gone)


def _named(connection: Connection, which: sa.ColumnElement[bool]) -> set[str]:
    """Return every digest in the parameters of some jobs, whatever it is of."""
    query = sa.select(jobs.c.extras).where(which, jobs.c.extras != "{}").distinct()
    texts = connection.execute(query).scalars()
    return {digest for text in texts for digest in _DIGEST.findall(text)}


def _copies(images: Path, age_s: float) -> Iterator[tuple[Path, int]]:
    """Yield copies of that age, and their sizes."""
    latest = time.time() - age_s
    try:
        for file in sorted((images / INPUTS).glob("*.png")):
            facts = file.stat()
            if _COPY.fullmatch(file.name) and facts.st_mtime < latest:
                yield file, facts.st_size
    except OSError as exc:
        raise _unusable(exc) from exc


def _is_old(file: Path, found: UnusedInputs) -> bool:
    return file.exists() and file.stat().st_mtime < time.time() - found.age_s


def _unusable(exc: OSError) -> ImageStoreError:
    msg = (
        f"Copies of input images must be readable and removable, but {exc.filename} "
        f"gives: {exc.strerror}; check the mode of NIGHTSWEEP_IMAGES and the disk."
    )
    return ImageStoreError(msg)
