"""The worker registry: which workers there are, what each does, and if there is work.

It is information for people. A worker writes its own row now and then; what cannot be
written is left out.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage.fleet.progress import SILENT_S, able, list_workers
from storage.host.worker_ids import is_dead
from storage.jobs import blocked_groups
from storage.jobs.claims import runnable_groups
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import LEASED, jobs, workers

#: Hours after which anybody removes the row of a silent worker.
FORGOTTEN_H = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A worker, as people see it.

    Attributes:
        owner: Its name in claims; unique.
        name: Its name for people: `gpu0`.
        host: The machine's name.
        gpu: The device's name; `CPU` where it has none.
        phase: What it does: `idle`, `loading`, `painting`, `waiting`, `backoff` ...
        detail: What it does that with, or why.
        images: What its process made.
        images_per_s: Of late; None where it made none.
        in_hand: Steps taken for the images that it paints, as images: 0.5 is half of
            one.
        started_at: When its process began; ISO 8601, UTC.
        phase_at: When the phase began; likewise.
    """

    owner: str
    name: str
    host: str
    gpu: str
    phase: str
    detail: str = ""
    images: int = 0
    images_per_s: float | None = None
    in_hand: float = 0.0
    started_at: str
    phase_at: str


def note(database: Database, entry: Entry) -> None:
    """Write a worker's row anew, as seen now."""
    values = {**asdict(entry), "seen_at": utc_now()}
    with database.write() as connection:
        statement = insert_into(connection, workers).values(values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["owner"], set_=values)
        )


def announce(database: Database, entry: Entry) -> None:
    """Write the row of a worker that is about to write its own, unless it has."""
    values = {**asdict(entry), "seen_at": utc_now()}
    with database.write() as connection:
        statement = insert_into(connection, workers).values(values)
        connection.execute(statement.on_conflict_do_nothing())


def remove(database: Database, owner: str) -> None:
    """Remove the rows of a worker that is gone.

    Args:
        database: Where they are.
        owner: Its name, or the beginning that `owners.process_name` gives.
    """
    gone = workers.c.owner.startswith(owner, autoescape=True)
    with database.write() as connection:
        connection.execute(sa.delete(workers).where(gone))


def remove_the_gone(database: Database) -> None:
    """Remove workers that are gone from this host, and those silent for a day."""
    longest = timedelta(hours=FORGOTTEN_H)
    oldest = (datetime.now(UTC) - longest).isoformat(timespec="microseconds")
    with database.read() as connection:
        rows = connection.execute(sa.select(workers.c.owner, workers.c.seen_at)).all()
    gone = [row.owner for row in rows if row.seen_at < oldest or is_dead(row.owner)]
    if gone:
        with database.write() as connection:
            connection.execute(sa.delete(workers).where(workers.c.owner.in_(gone)))


def has_workers(database: Database) -> bool:
    """Tell whether any worker of any host gave a sign of life of late."""
    longest = timedelta(seconds=SILENT_S)
    oldest = (datetime.now(UTC) - longest).isoformat(timespec="microseconds")
    query = sa.select(workers.c.owner).where(workers.c.seen_at >= oldest)
    with database.read() as connection:
        owners = connection.execute(query).scalars().all()
    return not all(map(is_dead, owners))


def held_by(database: Database, owner: str) -> frozenset[int]:
    """Return the rows of the jobs in a worker's hands; `owner` as in `remove`."""
    mine = jobs.c.owner.startswith(owner, autoescape=True)
    query = sa.select(jobs.c.id).where(mine, LEASED)
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def has_work(database: Database, host: str) -> bool:
    """Tell whether there is a job to take, other than what no worker here could make.

    Args:
        database: Where the jobs are.
        host: The machine whose workers are meant.
    """
    waiting = {group.key for group in runnable_groups(database)}
    workers = {worker.name for worker in able(list_workers(database), host)}
    return bool(waiting - blocked_groups.groups_blocked_by_all(database, host, workers))
