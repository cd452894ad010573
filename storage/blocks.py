"""Groups that a worker could not make, through no fault of their jobs.

A model that is not there, a fingerprint that differs, a package that is missing: the
jobs stay pending, other groups go on, and people are told why. A block is information;
each worker tries again for itself, and the first image of a group lifts it. So does
`worker` when it starts, or a sweep that is submitted again: what was missing may be
there.
"""

import sqlalchemy as sa

from storage.database import Database, insert_into, utc_now
from storage.schema import LEASED, RUNNABLE, blocks, jobs, model_places, sweep_jobs
from storage.sweeps import Sweep


def block(database: Database, group: str, *, worker: str, reason: str) -> None:
    """Note that `worker` could not make jobs of a group, and why; keep since when."""
    values = {"worker": worker, "reason": reason}
    with database.write() as connection:
        connection.execute(
            insert_into(connection, blocks)
            .values(group_key=group, since=utc_now(), **values)
            .on_conflict_do_update(index_elements=["group_key"], set_=values)
        )


def block_held(database: Database, owner: str, *, worker: str, reason: str) -> None:
    """Note that `worker` could not load the models of the jobs that it holds.

    Args:
        database: Where the jobs are.
        owner: Its name in claims, or the beginning that `owners.process_name` gives.
        worker: What people call it.
        reason: What comes of loading one.
    """
    query = (
        sa.select(jobs.c.group_key, model_places.c.name)
        .join(model_places, model_places.c.id == jobs.c.place_id)
        .where(jobs.c.owner.startswith(owner, autoescape=True), LEASED)
        .distinct()
    )
    with database.read() as connection:
        held = connection.execute(query).all()
    for group, name in held:
        text = f"a model must load, but loading {name} {reason}"
        block(database, group, worker=worker, reason=text)


def blocked_groups(database: Database) -> dict[str, str]:
    """Name the groups that some worker could not make, each with since when."""
    query = sa.select(blocks.c.group_key, blocks.c.since)
    with database.read() as connection:
        return {row.group_key: row.since for row in connection.execute(query)}


def lift(database: Database, group: str) -> None:
    """Note that somebody makes jobs of a group."""
    blocked = blocks.c.group_key == group
    with database.read() as connection:
        found = connection.execute(sa.select(blocks.c.since).where(blocked)).first()
    if found:
        with database.write() as connection:
            connection.execute(sa.delete(blocks).where(blocked))


def lift_all(database: Database) -> None:
    """Forget what could not be made; workers that still cannot will say so again."""
    with database.read() as connection:
        found = connection.execute(sa.select(blocks.c.group_key).limit(1)).first()
    if found:
        with database.write() as connection:
            connection.execute(sa.delete(blocks))


def blocked_jobs(database: Database, sweep: Sweep) -> dict[str, int]:
    """Count a sweep's unmade jobs that wait behind a block, by its reason."""
    query = (
        sa.select(blocks.c.reason, sa.func.count())
        .join(jobs, jobs.c.group_key == blocks.c.group_key)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id, sa.or_(RUNNABLE, LEASED))
        .group_by(blocks.c.reason)
    )
    with database.read() as connection:
        return dict(connection.execute(query).all())
