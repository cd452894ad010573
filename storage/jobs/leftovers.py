"""What may be removed: images with files, and rows of jobs that were never made.

It is looked for first and announced; `evict` and `forget` then take just these rows,
and each only if it still meets its condition.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.eviction import is_archived, is_kept
from storage.jobs.forgetting import FORGETTABLE
from storage.jobs.sweeps import FAILED, Sweep
from storage.queries.selection import Selection
from storage.sql.database import Database
from storage.sql.schema import (
    LEASED,
    RUNNABLE,
    jobs,
    removals,
    results,
    sweep_jobs,
    sweeps,
)

Condition = sa.ColumnElement[bool]
#: That a sweep wants a job, or has its image. While a sweep is being submitted, nobody
#: knows what leaves it. An archived one keeps all that it has.
WANTED = (
    sa.exists()
    .where(
        sweep_jobs.c.job_id == jobs.c.id,
        sweeps.c.id == sweep_jobs.c.sweep_id,
        sweeps.c.state != "removed",
        sa.or_(
            sweep_jobs.c.revision == sweeps.c.revision,
            sweeps.c.submitting.is_not(None),
            sweeps.c.state == "archived",
        ),
    )
    .correlate(jobs)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What may be removed.

    Attributes:
        images: Rows of the jobs whose files go.
        pixels: Width and height of each of these images.
        size_bytes: Of these files, without thumbnails.
        rows: Rows of jobs that were never made, which are deleted.
        shared: Images that stay, since other sweeps, or archived ones, have them.
        elsewhere: Images that stay, since their files are in other image folders.
        still: What the rows must still meet when they are removed.
        sweep: The sweep that leaves the list with them; None if none does.
    """

    images: Sequence[int] = ()
    pixels: Sequence[tuple[int, int]] = ()
    size_bytes: int = 0
    rows: Sequence[int] = ()
    shared: int = 0
    elsewhere: int = 0
    still: Condition
    sweep: Sweep | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.images or self.rows or self.sweep)


def of_sweep(database: Database, sweep: Sweep, *, here: Condition) -> Leftovers:
    """Return what goes with a sweep and its references.

    Args:
        database: Where the rows are.
        sweep: The sweep.
        here: Which rows of `results` have their files in this image folder.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    with database.read() as connection:
        named = _with_references(connection, sweep)
    mine = _is_member(named)
    return _find(
        database,
        mine,
        unmade=sa.and_(mine, FORGETTABLE),
        here=here,
        still=~is_kept(named),
        sweep=None if sweep.state == "removed" else sweep,
    )


def of_query(database: Database, found: Selection, *, here: Condition) -> Leftovers:
    """Return the images that a query means, without those that other sweeps have.

    If the query names no sweep, only those of archived sweeps stay for that reason.
    Jobs that were never made are none of them.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    named = list(found.scope.sweep_ids)
    return _find(
        database,
        jobs.c.id.in_(found.select_ids()),
        unmade=sa.false(),
        here=here,
        still=~(is_kept(named) if named else is_archived()),
    )


def of_nobody(database: Database, *, here: Condition, before: str | None) -> Leftovers:
    """Return what no sweep wants.

    Args:
        database: Where the rows are.
        here: As in `of_sweep`.
        before: Only images that were made, and jobs that were submitted, before this
            moment; None for all.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    return _find(
        database,
        sa.and_(~WANTED, _before(results.c.finished_at, before)),
        unmade=sa.and_(~WANTED, FORGETTABLE, _before(jobs.c.created_at, before)),
        here=here,
        still=~WANTED,
    )


def of_failures(database: Database, *, before: str | None) -> Leftovers:
    """Return the jobs that failed, of all sweeps but archived ones.

    `before` is as in `of_nobody`.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    failed = sa.and_(jobs.c.state.in_(FAILED), ~is_archived())
    return _find(
        database,
        sa.false(),
        unmade=sa.and_(failed, FORGETTABLE, _before(jobs.c.created_at, before)),
        here=sa.true(),
        still=failed,
    )


def count_open(database: Database, sweep: Sweep) -> tuple[int, int]:
    """Count jobs that only a sweep has: those to be made, and those in hand.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    with database.read() as connection:
        named = _with_references(connection, sweep)
        own = sa.and_(_is_member(named), ~is_kept(named))
        mine = sa.select(sa.func.count()).select_from(jobs).where(own)
        waiting = connection.execute(mine.where(RUNNABLE)).scalar_one()
        in_hand = connection.execute(mine.where(LEASED)).scalar_one()
    return int(waiting), int(in_hand)


def count_unfinished(database: Database, folder_id: int | None) -> int:
    """Count the evicted images whose files may still be in a folder.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    query = sa.select(sa.func.count()).where(removals.c.folder_id == folder_id)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def _with_references(connection: Connection, sweep: Sweep) -> Sequence[int]:
    which = sa.or_(sweeps.c.id == sweep.id, sweeps.c.reference_of == sweep.id)
    return connection.execute(sa.select(sweeps.c.id).where(which)).scalars().all()


def _is_member(named: Collection[int]) -> Condition:
    members = sa.select(sweep_jobs.c.job_id).where(sweep_jobs.c.sweep_id.in_(named))
    return jobs.c.id.in_(members)


def _find(
    database: Database,
    made: Condition,
    *,
    unmade: Condition,
    here: Condition,
    still: Condition,
    sweep: Sweep | None = None,
) -> Leftovers:
    facts = (jobs.c.id, jobs.c.width, jobs.c.height, results.c.size_bytes)
    query = (
        sa.select(*facts, here.label("is_here"), still.label("is_free"))
        .join(results, results.c.job_id == jobs.c.id)
        .where(made, jobs.c.state == "done")
        .order_by(jobs.c.id)
    )
    rows = sa.select(jobs.c.id).where(unmade, still).order_by(jobs.c.id)
    with database.read() as connection:
        found = connection.execute(query).all()
        forgotten = connection.execute(rows).scalars().all()
    return _sorted(found, rows=forgotten, still=still, sweep=sweep)


def _sorted(found: Iterable[Any], **rest: Any) -> Leftovers:
    """Part images that go from those that stay, and say why these do."""
    found = list(found)
    free = [row for row in found if row.is_free]
    gone = [row for row in free if row.is_here]
    return Leftovers(
        images=[row.id for row in gone],
        pixels=[(row.width, row.height) for row in gone],
        size_bytes=sum(row.size_bytes for row in gone),
        shared=len(found) - len(free),
        elsewhere=len(free) - len(gone),
        **rest,
    )


def _before(column: sa.Column[str], moment: str | None) -> Condition:
    return sa.true() if moment is None else column < moment
