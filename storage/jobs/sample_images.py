"""A few finished images of a sweep, to show what it looks like."""

import sqlalchemy as sa

from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import jobs, sweep_jobs


def sample_keys(database: Database, sweep: Sweep, *, count: int) -> list[str]:
    """Return the keys of finished images of a sweep, from all over it, each once.

    They are those that follow `count` evenly spaced places in the order of submission,
    so each costs a look at an index, however large the sweep is.
    """
    members = sweep_jobs.c.sweep_id == sweep.id
    # Each asked for alone, since SQLite looks at all rows for two at once.
    ends = [
        sa.select(end(sweep_jobs.c.job_id)).where(members).scalar_subquery()
        for end in (sa.func.min, sa.func.max)
    ]
    following = (
        sa.select(jobs.c.key)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(members, jobs.c.state == "done")
        .order_by(sweep_jobs.c.job_id)
        .limit(1)
    )
    found: dict[str, None] = {}
    with database.read() as connection:
        first, last = connection.execute(sa.select(*ends)).one()
        for place in range(count if first is not None else 0):
            start = first + (last - first) * place // count
            here = following.where(sweep_jobs.c.job_id >= start)
            if key := connection.execute(here).scalar():
                found[key] = None
    return [*found]
