"""What becomes of scores when their images are made, lost, or made again."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.scores.asking import FRESH, REMOVED
from storage.sql.leases import lock
from storage.sql.schema import (
    SCORE_LEASED,
    SCORE_PENDING,
    SCORE_WAITING,
    jobs,
    results,
    scores,
)

#: The conditions of scores that are to be computed; indexes hold each of them.
OPEN_SCORES = (SCORE_WAITING, SCORE_PENDING, SCORE_LEASED)


def note_images_done(connection: Connection, ids: Collection[int]) -> None:
    """Have the scores computed that waited only for these images.

    It is part of the transaction in which the images are done and have their results.
    An image that was made again with other pixels is scored again, as is whatever was
    compared with it.

    Args:
        connection: That transaction; it holds the locks of the jobs.
        ids: Rows of the jobs.
    """
    if not ids:
        return
    for column, pixels in (
        (scores.c.job_id, scores.c.pixel_sha256),
        (scores.c.reference_id, scores.c.reference_sha256),
    ):
        now = sa.select(results.c.pixel_sha256).where(results.c.job_id == column)
        is_other = sa.and_(scores.c.state == "done", pixels != now.scalar_subquery())
        _change(connection, sa.and_(column.in_(ids), is_other))
    if not _any_waits(connection):
        return
    mine = sa.or_(scores.c.job_id.in_(ids), scores.c.reference_id.in_(ids))
    # Locked first: of two transactions that finish an image and its reference, the
    # later one sees what the earlier one did.
    locked = lock(connection, scores, sa.and_(SCORE_WAITING, mine))
    ready = sa.update(scores).where(locked, _is_done(scores.c.job_id))
    no_reference = scores.c.reference_id.is_(None)
    ready = ready.where(sa.or_(no_reference, _is_done(scores.c.reference_id)))
    connection.execute(ready.values(state="pending"))


def note_images_lost(connection: Connection, ids: Collection[int]) -> None:
    """Have scores wait for images that are made again; those that are done stay.

    A remade image is the same picture. If its pixels differ after all, even in the last
    bits, `note_images_done` has it scored again.
    """
    if ids:
        for column in (scores.c.job_id, scores.c.reference_id):
            is_open = scores.c.state.in_(("pending", "leased", "failed"))
            _change(connection, sa.and_(column.in_(ids), is_open))


def note_images_removed(connection: Connection, ids: Collection[int]) -> None:
    """Have no more scores computed of removed images; those that are done stay.

    It is part of the transaction in which the images are evicted. `note_images_lost`
    has the scores wait again once the images are to be made again.
    """
    if not any(_is_any(connection, each) for each in OPEN_SCORES):
        return
    for column in (scores.c.job_id, scores.c.reference_id):
        is_open = sa.or_(*OPEN_SCORES)
        which = sa.and_(column.in_(ids), is_open)
        if _is_any(connection, which):
            locked = lock(connection, scores, which)
            values = {**FRESH, "state": "failed", "error": REMOVED}
            connection.execute(sa.update(scores).where(locked).values(values))


def _change(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    """Have scores wait, as if they had just been asked for."""
    if _is_any(connection, which):
        locked = lock(connection, scores, which)
        values: dict[str, Any] = {**FRESH, "state": "waiting"}
        values |= {"pixel_sha256": None, "reference_sha256": None}
        connection.execute(sa.update(scores).where(locked).values(values))


def _is_any(
    connection: Connection, which: sa.ColumnElement[bool] | sa.TextClause
) -> bool:
    query = sa.select(sa.literal(1)).select_from(scores).where(which)
    return connection.execute(query.limit(1)).first() is not None


def _any_waits(connection: Connection) -> bool:
    return _is_any(connection, SCORE_WAITING)


def _is_done(column: sa.Column[Any]) -> sa.Exists:
    of_job = sa.and_(jobs.c.id == column, jobs.c.state == "done")
    return sa.exists().where(of_job)
