"""Ratings: stars and a verdict that a person gives an image."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.leases import lock
from storage.sql.schema import VERDICTS, jobs, ratings
from storage.sql.value_pages import in_pages
from storage.sql.views import select_image_ratings

#: Stars and verdict that take back what was given before.
NO_STARS = 0
NO_VERDICT = "none"
MOST_STARS = 5


def rate(
    database: Database,
    keys: Sequence[str],
    *,
    who: str,
    stars: int | None = None,
    verdict: str | None = None,
) -> int:
    """Store what a person says of images; return how many ratings that changed.

    It is one transaction. What other people say of the same images stays.

    Args:
        database: Where the images are.
        keys: Their whole keys.
        who: The person.
        stars: 1 to 5; 0 to take them back; None to leave them as they are.
        verdict: `accepted` or `rejected`; `none` to take it back; None to leave it.

    Raises:
        UsageError: The stars or the verdict cannot be given, or an image that is to
            get one is not made.
        DatabaseError: The database cannot be written.
    """
    given = _read(stars, verdict)
    if not given:
        return 0
    gives = any(value is not None for value in given.values())
    with database.write() as connection:
        ids = _find(connection, keys, done_only=gives)
        change = _store if gives else _take_back
        return sum(change(connection, page, who, given=given) for page in in_pages(ids))


def read_ratings(
    database: Database, keys: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the ratings of some images by their whole keys; none where there is none.

    Each is a row of the view `image_ratings` without its key: `who`, `stars`,
    `verdict` and `rated_at`, sorted by `who`.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    rated = select_image_ratings().order_by(ratings.c.job_id, ratings.c.who)
    with database.read() as connection:
        for page in in_pages(sorted(set(keys))):
            rows = connection.execute(rated.where(jobs.c.key.in_(page)))
            for key, *values in rows:
                row = dict(
                    zip(("who", "stars", "verdict", "rated_at"), values, strict=True)
                )
                found.setdefault(key, []).append(row)
    return found


def _read(stars: int | None, verdict: str | None) -> dict[str, Any]:
    """Return the columns that are to change, NULL for what is taken back."""
    given: dict[str, Any] = {}
    if stars is not None:
        if stars not in range(MOST_STARS + 1):
            msg = (
                f"stars must be 1 to {MOST_STARS}, or 0 to take them back, got {stars}."
            )
            raise UsageError(msg)
        given["stars"] = stars or None
    if verdict is not None:
        if verdict not in (*VERDICTS, NO_VERDICT):
            msg = (
                f"verdict must be one of {', '.join(VERDICTS)}, or {NO_VERDICT} to "
                f"take it back, got {verdict!r}."
            )
            raise UsageError(msg)
        given["verdict"] = None if verdict == NO_VERDICT else verdict
    return given


def _find(
    connection: Connection, keys: Sequence[str], *, done_only: bool
) -> Sequence[int]:
    """Return the rows of images in the order in which they are locked."""
    wanted = sorted(set(keys))
    is_usable = jobs.c.state == "done" if done_only else sa.true()
    known: dict[str, int] = {}
    for page in in_pages(wanted):
        rows = sa.select(jobs.c.key, jobs.c.id).where(jobs.c.key.in_(page), is_usable)
        known |= dict(connection.execute(rows).all())
    if done_only and len(known) < len(wanted):
        first = next(key for key in wanted if key not in known)
        msg = (
            f"an image must be made to be rated, but {len(wanted) - len(known):,} of "
            f"{len(wanted):,} are not, such as {first}; leave them out."
        )
        raise UsageError(msg)
    return sorted(known.values())


def _store(
    connection: Connection, ids: Sequence[int], who: str, *, given: Mapping[str, Any]
) -> int:
    new = {"who": who, "rated_at": utc_now(), **given}
    values = (sa.literal(new[name], ratings.c[name].type) for name in new)
    rows = sa.select(jobs.c.id, *values).where(jobs.c.id.in_(ids)).order_by(jobs.c.id)
    insert = insert_into(connection, ratings).from_select(["job_id", *new], rows)
    is_other = (ratings.c[name].is_distinct_from(given[name]) for name in given)
    upsert = insert.on_conflict_do_update(
        index_elements=["job_id", "who"],
        set_={name: insert.excluded[name] for name in ("rated_at", *given)},
        where=sa.or_(*is_other),
    )
    counted = connection.execution_options(preserve_rowcount=True)
    return counted.execute(upsert).rowcount


def _take_back(
    connection: Connection, ids: Sequence[int], who: str, *, given: Mapping[str, Any]
) -> int:
    """Remove what is given as None; a rating of which nothing is left has no row."""
    mine = sa.and_(ratings.c.who == who, ratings.c.job_id.in_(ids))
    has_any = sa.or_(*(ratings.c[name].is_not(None) for name in given))
    held = lock(connection, ratings, sa.and_(mine, has_any))
    changes = sa.update(ratings).where(held).values(**given, rated_at=utc_now())
    changed = connection.execute(changes).rowcount
    is_empty = sa.and_(ratings.c.stars.is_(None), ratings.c.verdict.is_(None))
    connection.execute(sa.delete(ratings).where(mine, is_empty))
    return changed
