"""Scores, ratings and votes that are imported, nothing twice."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.membership import lock_producers
from storage.scores.asking import FRESH
from storage.scores.identities import ResolvedMetric, store_metric
from storage.sharing.shared_items import SharedImage, SharedScore, SharedVote
from storage.sql.database import Database, insert_into
from storage.sql.schema import jobs, metrics, ratings, results, scores, votes
from storage.sql.value_pages import in_pages

#: States of scores that a value from elsewhere may end.
_OPEN = ("waiting", "pending", "failed")


def take_opinions(
    database: Database, page: Sequence[SharedImage | SharedVote]
) -> Counter[str]:
    """Store scores, ratings and votes whose images are here; return how many are new.

    A score is taken only for the very pixels that are here. Of two ratings of an image
    by one person, the later one stays.

    Args:
        database: Where all images of the export are by now.
        page: Images and votes.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    images = [each for each in page if isinstance(each, SharedImage)]
    given = [each for each in page if isinstance(each, SharedVote)]
    with database.write() as connection:
        lock_producers(connection)
        here = _read_images(connection, _keys(images, given))
        return Counter(
            scores=_store_scores(connection, images, here),
            ratings=_store_ratings(connection, images, here),
            votes=_store_votes(connection, given, here),
        )


def _keys(images: Iterable[SharedImage], given: Iterable[SharedVote]) -> list[str]:
    keys = {each.job.key for each in images}
    keys |= {s.reference for each in images for s in each.scores if s.reference}
    return sorted(keys | {key for each in given for key in (each.a, each.b)})


def _read_images(connection: Connection, keys: Sequence[str]) -> dict[str, Any]:
    """Return the row of each image that is here, with the hash of its pixels."""
    query = sa.select(jobs.c.id, jobs.c.key, results.c.pixel_sha256).outerjoin_from(
        jobs, results, results.c.job_id == jobs.c.id
    )
    found = {}
    for some in in_pages(keys):
        for row in connection.execute(query.where(jobs.c.key.in_(some))):
            found[row.key] = row
    return found


def _store_scores(
    connection: Connection, images: Iterable[SharedImage], here: Mapping[str, Any]
) -> int:
    taken = [
        (image, score)
        for image in images
        for score in image.scores
        if _is_of(score, image, here)
    ]
    # The scores of one metric share it: there are few.
    used = {id(score.metric): score.metric for _, score in taken}
    ids = {each: _metric_id(connection, metric) for each, metric in used.items()}
    rows = [
        _score_row(score, image, here, ids[id(score.metric)]) for image, score in taken
    ]
    if not rows:
        return 0
    insert = insert_into(connection, scores)
    values = {name: insert.excluded[name] for name in rows[0]}
    upsert = insert.on_conflict_do_update(
        index_elements=["job_id", "metric_id"],
        set_=values,
        where=scores.c.state.in_(_OPEN),
    )
    return _count_changed(connection, upsert, rows)


def _is_of(score: SharedScore, image: SharedImage, here: Mapping[str, Any]) -> bool:
    """Return whether a score is of the pixels that are here."""
    scored = [(image.job.key, score.pixel_sha256)]
    if score.reference:
        scored.append((score.reference, score.reference_sha256))
    return all(
        (row := here.get(key)) and row.pixel_sha256 and sha in (None, row.pixel_sha256)
        for key, sha in scored
    )


def _score_row(
    score: SharedScore, image: SharedImage, here: Mapping[str, Any], metric_id: int
) -> dict[str, Any]:
    return {
        **FRESH,
        "job_id": here[image.job.key].id,
        "metric_id": metric_id,
        "reference_id": here[score.reference].id if score.reference else None,
        "state": "done",
        "value": float(score.value),
        "scored_at": score.scored_at,
        "pixel_sha256": score.pixel_sha256,
        "reference_sha256": score.reference_sha256,
    }


def _metric_id(connection: Connection, metric: ResolvedMetric) -> int:
    """Return the row of a metric, and store a new one; what is known of it here stays.

    An export may not say where code is: the class of somebody's own metric is named
    again before it computes scores here.
    """
    query = sa.select(metrics.c.id).where(metrics.c.digest == metric.digest)
    if (found := connection.execute(query).scalar()) is not None:
        return int(found)
    return store_metric(connection, replace(metric, source=metric.name))


def _store_ratings(
    connection: Connection, images: Iterable[SharedImage], here: Mapping[str, Any]
) -> int:
    rows = [
        {"job_id": here[image.job.key].id, **rating}
        for image in images
        for rating in image.ratings
        if image.job.key in here
    ]
    if not rows:
        return 0
    insert = insert_into(connection, ratings)
    upsert = insert.on_conflict_do_update(
        index_elements=["job_id", "who"],
        set_={name: insert.excluded[name] for name in ("stars", "verdict", "rated_at")},
        where=ratings.c.rated_at < insert.excluded.rated_at,
    )
    return _count_changed(connection, upsert, rows)


def _store_votes(
    connection: Connection, given: Iterable[SharedVote], here: Mapping[str, Any]
) -> int:
    count = 0
    for each in given:
        if each.a not in here or each.b not in here:
            continue
        row = {
            "who": each.who,
            "axis": each.axis,
            "job_a": here[each.a].id,
            "job_b": here[each.b].id,
            "winner": each.winner,
            "voted_at": each.voted_at,
        }
        same = (votes.c[name] == value for name, value in row.items())
        if connection.execute(sa.select(votes.c.id).where(*same)).first() is None:
            connection.execute(sa.insert(votes).values(query=each.query, **row))
            count += 1
    return count


def _count_changed(
    connection: Connection, upsert: Any, rows: Sequence[Mapping[str, Any]]
) -> int:
    counted = connection.execution_options(preserve_rowcount=True)
    return sum(counted.execute(upsert, row).rowcount for row in rows)
