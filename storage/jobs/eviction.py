"""Eviction: an image's file is removed, and its row stays, with scores and ratings.

A job with the state `evicted` is not made again, by whatever sweep or repair, until
somebody asks for it by that word. SQL says `evicted` first, a page of jobs at a time,
and notes in `removals` that their files are to go; `storage.files.removals` removes
these. So both may be interrupted at any moment, be repeated, and run twice at once.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.membership import lock_producers
from storage.jobs.remaking import rank_again, unmake
from storage.jobs.removal_lock import removal_lock
from storage.jobs.sweeps import Sweep
from storage.queries.answers import Wanted, find
from storage.queries.columns import COLUMNS
from storage.queries.parsing import refine
from storage.queries.terms import Query
from storage.scores.image_changes import note_images_removed
from storage.sql.database import Database
from storage.sql.rows import insert_rows, lock_jobs
from storage.sql.schema import jobs, removals, sweep_jobs, sweeps

#: Jobs that are evicted or restored in one transaction, so that it is short.
EVICTION_ROWS = 200


def is_kept(named: Collection[int]) -> sa.ColumnElement[bool]:
    """Return whether a job has a sweep besides some, or one that is archived.

    Removed sweeps do not count.

    Args:
        named: Rows of the sweeps that are known to have it.
    """
    is_other = sa.and_(sweeps.c.id.not_in(named), sweeps.c.state != "removed")
    return _has_sweep(sa.or_(is_other, sweeps.c.state == "archived"))


def is_archived() -> sa.ColumnElement[bool]:
    """Return whether a job has a sweep that is archived."""
    return _has_sweep(sweeps.c.state == "archived")


def evict(
    database: Database,
    ids: Sequence[int],
    *,
    folder_id: int | None,
    still: sa.ColumnElement[bool],
) -> Iterator[int]:
    """Evict images; yield how many, a page at a time.

    Args:
        database: Where the jobs are.
        ids: Rows of the jobs; those that are not done any more are left alone.
        folder_id: Row of the image folder that their files are in; a folder that was
            taken has one (`storage.files.folders`).
        still: What they must still meet under their locks, a condition on `jobs`.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    for start in range(0, len(ids), EVICTION_ROWS):
        page = jobs.c.id.in_(ids[start : start + EVICTION_ROWS])
        with database.write() as connection:
            # No sweep begins to want them meanwhile.
            lock_producers(connection)
            which = sa.and_(page, jobs.c.state == "done", still)
            gone = _evict(connection, which, folder_id)
        yield gone


def restore(
    database: Database, sweep: Sweep, *, among: Query | str = ""
) -> dict[str, list[str]]:
    """Have a sweep's evicted images made again; return their keys by batch group.

    If no active sweep wants them, they wait for one.

    Args:
        database: Where the jobs are.
        sweep: The sweep.
        among: Which of its jobs; by default all.

    Raises:
        UsageError: A name in the query does not exist.
        DatabaseError: SQL cannot be reached.
    """
    which = refine(among, sweep=sweep.name, state=["evicted"])
    rows = find(database, which, Wanted(columns=[COLUMNS["key"]]))
    keys = [row["key"] for row in rows]
    groups: dict[str, list[str]] = {}
    with removal_lock(database):
        for start in range(0, len(keys), EVICTION_ROWS):
            for row in _restore(database, keys[start : start + EVICTION_ROWS]):
                groups.setdefault(row.group_key, []).append(row.key)
    return groups


def _restore(database: Database, keys: Sequence[str]) -> Sequence[Any]:
    page = jobs.c.key.in_(keys)
    with database.write() as connection:
        evicted = lock_jobs(connection, sa.and_(page, jobs.c.state == "evicted"))
        query = sa.select(jobs.c.id, jobs.c.group_key, jobs.c.key).where(evicted)
        found = connection.execute(query).all()
        unmake(connection, [row.id for row in found])
    rank_again(database, [row.id for row in found])
    return found


def _has_sweep(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    of_job = (sweep_jobs.c.job_id == jobs.c.id, sweeps.c.id == sweep_jobs.c.sweep_id)
    return sa.exists().where(*of_job, which).correlate(jobs)


def _evict(
    connection: Connection, which: sa.ColumnElement[bool], folder_id: int | None
) -> int:
    evicted = sa.update(jobs).where(lock_jobs(connection, which))
    done = evicted.values(state="evicted").returning(jobs.c.id)
    ids = connection.execute(done).scalars().all()
    if ids:
        rows = [{"job_id": each, "folder_id": folder_id} for each in ids]
        insert_rows(connection, sa.insert(removals), rows)
        note_images_removed(connection, ids)
    return len(ids)
