"""Figures of the queue, each read from an index: cheap with any number of jobs."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from storage.jobs.runnable_groups import runnable_groups
from storage.sql.clocks import clock
from storage.sql.database import Database, seconds_between, utc_now
from storage.sql.schema import HELD, RUNNABLE, blocks, jobs, results, sweeps


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A sweep, without its spec.

    Attributes:
        id: Its row.
        name: Unique.
        state: Of `storage.sql.schema.SWEEP_STATES`, but not `removed`.
    """

    id: int
    name: str
    state: str


def list_sweep_rows(database: Database) -> list[SweepRow]:
    """Return every sweep that was not removed, the newest first."""
    query = (
        sa.select(sweeps.c.id, sweeps.c.name, sweeps.c.state)
        .where(sweeps.c.state != "removed")
        .order_by(sweeps.c.id.desc())
    )
    with database.read() as connection:
        return [SweepRow(**row) for row in connection.execute(query).mappings()]


def count_leases(database: Database) -> tuple[int, int]:
    """Return how many jobs workers have in hand, and how many of these leases ended.

    An ended lease is taken back by the next worker that looks.
    """
    held = sa.select(sa.func.count()).where(HELD)
    with database.read() as connection:
        ended = held.where(jobs.c.lease_until < clock(connection))
        return (
            int(connection.execute(held).scalar_one()),
            int(connection.execute(ended).scalar_one()),
        )


def longest_wait_s(database: Database) -> float:
    """Return how long the job has waited that is next in its group.

    It is the longest of all groups; 0 if no job waits.
    """
    ages = []
    for group in runnable_groups(database):
        query = (
            sa.select(jobs.c.created_at)
            .where(jobs.c.group_key == group.key, RUNNABLE)
            .order_by(jobs.c.priority, jobs.c.payer_id, jobs.c.position)
            .limit(1)
        )
        with database.read() as connection:
            created_at = connection.execute(query).scalar()
        if created_at:  # else it was taken in this moment
            ages.append(seconds_between(created_at, utc_now()))
    return max([0.0, *ages])


def count_blocked_groups(database: Database) -> dict[str, int]:
    """Return how many groups some worker of a host could not make, by host."""
    groups = sa.func.count(sa.distinct(blocks.c.group_key))
    query = sa.select(blocks.c.host, groups).group_by(blocks.c.host)
    with database.read() as connection:
        return {host: int(count) for host, count in connection.execute(query)}


def last_finished_s(database: Database) -> float:
    """Return when the last image was finished, in seconds since 1970; 0 for none."""
    query = sa.select(sa.func.max(results.c.finished_at))
    with database.read() as connection:
        at = connection.execute(query).scalar()
    return datetime.fromisoformat(at).astimezone(UTC).timestamp() if at else 0.0
