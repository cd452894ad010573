"""Repairs what `verification` and `orphans` found, while workers go on.

Everything is looked at again under the lock of its row before it is changed. So a
repair may be interrupted at any moment, be repeated, and run twice at once. Pictures
are moved away, and deleted only if somebody removed them (`storage.jobs.eviction`);
thumbnails are deleted, since they can be made again.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import ImageStoreError
from storage.files.images import thumbnail_of
from storage.files.orphans import is_orphan, is_thumbnail, key_at
from storage.files.places import Place, place_at
from storage.files.relabelling import relabel
from storage.files.verification import Finding, Made, select_made
from storage.image_address import ImageAddress
from storage.jobs.remaking import rank_again, unmake
from storage.sql.database import Database
from storage.sql.schema import jobs

#: The folder for orphaned pictures, below the image folder.
ORPHANS = "orphans"
#: Jobs that are queued again in one transaction.
REPAIR_ROWS = 100

#: Repair of an image that is made again.
QUEUED = "queued again"
#: Repair of an image that is made again as soon as a sweep wants it.
UNWANTED = "pending; no active sweep wants it"
#: Repair of a temporary file, and of a thumbnail.
REMOVED = "removed"


def mend(
    database: Database, images: ImageAddress, findings: Sequence[Finding]
) -> Iterator[Finding]:
    """Repair what can be repaired; yield every finding with what was done about it.

    Images that are missing or damaged are queued again. Files and rows that others
    changed since the look, or that may be another database's, are left alone.

    Raises:
        ImageStoreError: A file cannot be moved.
        DatabaseError: SQL cannot be reached.
    """
    place = place_at(images)
    lost = [finding for finding in findings if finding.made]
    for start in range(0, len(lost), REPAIR_ROWS):
        yield from _requeue(database, place, lost[start : start + REPAIR_ROWS])
    for finding in findings:
        if finding.problem == "orphaned":
            yield _set_aside(database, place, finding)
        elif finding.problem == "evicted":
            yield _finish_removal(database, place, finding)
        elif finding.problem in ("leftover", "damaged"):
            yield _remove(place, finding)
        elif finding.problem == "mislabelled":
            yield relabel(database, finding)
        elif finding.problem in ("foreign", "lost_input"):
            yield finding


def _requeue(
    database: Database, place: Place, findings: Sequence[Finding]
) -> list[Finding]:
    with database.write() as connection:
        made = _lock(connection, findings)
        again = {
            finding.made.job_id
            for finding in findings
            if finding.made in made and _is_as_seen(place, finding)
        }
        for finding in findings:
            # Before the commit: afterwards, a new image may be there.
            if finding.made and finding.made.job_id in again:
                if finding.stamp:
                    _move_away(place, finding.path)
                _drop_thumbnail(place, finding.path)
        unmake(connection, again)
    wanted = rank_again(database, again) if again else set()
    return [_told(finding, again, wanted) for finding in findings]


def _told(finding: Finding, again: set[int], wanted: set[int]) -> Finding:
    job_id = finding.made.job_id if finding.made else None
    if job_id not in again:
        return finding
    return replace(finding, repair=QUEUED if job_id in wanted else UNWANTED)


def _lock(connection: Connection, findings: Sequence[Finding]) -> set[Made]:
    """Lock and return what is still done; skip rows that somebody else is changing."""
    ids = [finding.made.job_id for finding in findings if finding.made]
    query = select_made().where(jobs.c.id.in_(ids))
    query = query.with_for_update(of=jobs, skip_locked=True)
    return {Made(**row) for row in connection.execute(query).mappings()}


def _set_aside(database: Database, place: Place, finding: Finding) -> Finding:
    # One transaction each: whoever holds only one row cannot deadlock.
    with database.write() as connection:
        state = _state(connection, finding.path)
        if (
            finding.stamp is None
            or not is_orphan(state, finding.stamp)
            or not _is_as_seen(place, finding)
        ):
            return finding
        if is_thumbnail(finding.path):
            return _remove(place, finding)
        there = _move_away(place, finding.path)
        _drop_thumbnail(place, finding.path)
    return replace(finding, repair=f"moved to {there}")


def _finish_removal(database: Database, place: Place, finding: Finding) -> Finding:
    with database.write() as connection:
        if _state(connection, finding.path) != "evicted":
            return finding
        return _remove(place, finding)


def _state(connection: Connection, path: str) -> str | None:
    key = key_at(path)
    query = sa.select(jobs.c.state).where(jobs.c.key == key).with_for_update()
    state: str | None = connection.execute(query).scalar() if key else None
    return state


def _remove(place: Place, finding: Finding) -> Finding:
    if not _is_as_seen(place, finding):
        return finding
    with _translated():
        place.remove([finding.path])
    return replace(finding, repair=REMOVED)


def _is_as_seen(place: Place, finding: Finding) -> bool:
    return place.look_at(finding.path) == finding.stamp


def _move_away(place: Place, path: str) -> str:
    there = f"{ORPHANS}/{path}"
    with _translated():
        if place.look_at(there):  # an earlier picture of the same job
            stem, _, kind = there.rpartition(".")
            there = f"{stem}.{secrets.token_hex(4)}.{kind}"
        place.move(path, there)
    return there


def _drop_thumbnail(place: Place, path: str) -> None:
    """Remove the thumbnail of an image that is gone; nothing shows it any more."""
    with suppress(OSError, ImageStoreError):
        place.remove([thumbnail_of(path)])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        msg = (
            f"Images must be movable to be repaired, but {exc.filename} gives: "
            f"{exc.strerror}; check the mode of NIGHTSWEEP_IMAGES and the disk, then "
            "run it again."
        )
        raise ImageStoreError(msg) from exc
