"""Whether all jobs of a sweep are stored, since its producer may die between batches.

`storage.jobs.sweeps.save_sweep` notes with the sweep how many jobs its submission is to
store, and `note_complete` removes the note once they are stored.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import sweep_jobs, sweeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A submission that is still under way, or was cut off.

    Attributes:
        stored: Jobs of the sweep's revision that are stored.
        wanted: Jobs that it is to store.
    """

    stored: int
    wanted: int


def find_incomplete(database: Database, sweep: Sweep) -> Incomplete | None:
    """Return how far the submission of a sweep got; None if it is complete.

    It is also None for a sweep that was stored before there were such notes.
    """
    members = (
        sa.select(sa.func.count())
        .select_from(sweep_jobs)
        .where(
            sweep_jobs.c.sweep_id == sweeps.c.id,
            sweep_jobs.c.revision == sweeps.c.revision,
        )
        .scalar_subquery()
    )
    # One statement, so that both numbers are of the same moment and revision.
    query = sa.select(members, sweeps.c.submitting).where(
        sweeps.c.id == sweep.id, sweeps.c.submitting.is_not(None)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    return Incomplete(stored=row[0], wanted=row[1]) if row else None


def note_complete(database: Database, sweep: Sweep) -> None:
    """Note that all jobs of a sweep are stored, unless it has a newer revision now."""
    mine = sa.and_(sweeps.c.id == sweep.id, sweeps.c.revision == sweep.revision)
    with database.write() as connection:
        connection.execute(sa.update(sweeps).where(mine).values(submitting=None))
