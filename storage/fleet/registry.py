"""The worker registry: which workers exist, what each does, and whether there is work.

It is information for people. A worker writes its own row now and then; a write that
fails is skipped.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from storage.fleet.progress import able, list_workers
from storage.host.worker_ids import is_dead
from storage.job import BACKENDS, TORCH, backend_of
from storage.jobs import blocked_groups
from storage.jobs.runnable_groups import runnable_groups
from storage.scores.score_counts import pending_metrics
from storage.sql.clocks import ago
from storage.sql.database import Database, insert_into
from storage.sql.living_workers import SILENT_S
from storage.sql.schema import LEASED, SCORE_LEASED, jobs, scores, workers

#: Hours of silence after which any process removes a worker's row.
FORGOTTEN_H = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A worker, as people see it.

    Attributes:
        owner: Its name in claims; unique.
        name: Its name for people: `gpu0`.
        host: The machine's name.
        gpu: The device's name; `CPU` where it has none.
        backend: What it paints with.
        phase: What it does: `idle`, `loading`, `painting`, `waiting`, `backoff` ...
        detail: What it does that with, or why.
        images: Images that its process made.
        images_per_s: Its recent rate; None where it made none.
        in_hand: Steps done for the images that it is painting, as a count of images:
            0.5 is half of one.
        rows_run: Rows of its batches since it was started, call by call.
        rows_used: Those of them with a job.
        started_at: When its process began; ISO 8601, UTC.
        phase_at: When the phase began; likewise.
    """

    owner: str
    name: str
    host: str
    gpu: str
    backend: str = TORCH
    phase: str
    detail: str = ""
    images: int = 0
    images_per_s: float | None = None
    in_hand: float = 0.0
    rows_run: int = 0
    rows_used: int = 0
    started_at: str
    phase_at: str


def note(database: Database, entry: Entry) -> None:
    """Write or replace a worker's row, with its sign of life set to now."""
    with database.write() as connection:
        values = {**asdict(entry), "seen_at": ago(connection)}
        statement = insert_into(connection, workers).values(values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["owner"], set_=values)
        )


def announce(database: Database, entry: Entry) -> None:
    """Write a row for a worker that is about to write its own, unless it has one."""
    with database.write() as connection:
        values = {**asdict(entry), "seen_at": ago(connection)}
        statement = insert_into(connection, workers).values(values)
        connection.execute(statement.on_conflict_do_nothing())


def remove(database: Database, owner: str) -> None:
    """Remove the rows of a worker that is gone.

    Args:
        database: Where the rows are.
        owner: Its name, or the prefix that `worker_ids.process_name` returns.
    """
    gone = workers.c.owner.startswith(owner, autoescape=True)
    with database.write() as connection:
        connection.execute(sa.delete(workers).where(gone))


def remove_the_gone(database: Database) -> None:
    """Remove workers of this host that are gone, and any that were silent for a day."""
    with database.read() as connection:
        oldest = ago(connection, FORGOTTEN_H * 3600)
        rows = connection.execute(sa.select(workers.c.owner, workers.c.seen_at)).all()
    gone = [row.owner for row in rows if row.seen_at < oldest or is_dead(row.owner)]
    if gone:
        with database.write() as connection:
            connection.execute(sa.delete(workers).where(workers.c.owner.in_(gone)))


def living_backends(database: Database) -> set[str]:
    """Return the back ends of workers, of any host, with a recent sign of life."""
    columns = (workers.c.owner, workers.c.backend)
    with database.read() as connection:
        is_recent = workers.c.seen_at >= ago(connection, SILENT_S)
        rows = connection.execute(sa.select(*columns).where(is_recent)).all()
    return {row.backend for row in rows if not is_dead(row.owner)}


def unserved_backends(database: Database, also: Collection[str] = ()) -> list[str]:
    """Return the back ends whose jobs wait though no worker of theirs is alive.

    Args:
        database: Where jobs and workers are.
        also: Back ends that count as served.
    """
    waiting = {group.backend for group in runnable_groups(database)}
    return sorted(waiting.difference(living_backends(database), also))


def held_by(database: Database, owner: str) -> frozenset[int]:
    """Return what a worker holds; `owner` is as in `remove`.

    Jobs are called by their rows, and scores by the negative rows of their jobs.
    """
    of_jobs = sa.select(jobs.c.id).where(
        jobs.c.owner.startswith(owner, autoescape=True), LEASED
    )
    of_scores = sa.select(-scores.c.job_id).where(
        scores.c.owner.startswith(owner, autoescape=True), SCORE_LEASED
    )
    with database.read() as connection:
        held = connection.execute(sa.union_all(of_jobs, of_scores))
        return frozenset(held.scalars())


def has_work(database: Database, host: str, backend: str = TORCH) -> bool:
    """Return whether there is anything to take that not all workers here block.

    Args:
        database: Where jobs and scores are.
        host: The machine whose workers are meant.
        backend: What these paint with. Only those of torch compute scores.
    """
    waiting = {group.key for group in runnable_groups(database, backend)}
    if backend == TORCH:
        waiting |= {one.block_key for one in pending_metrics(database, host=host)}
    return bool(waiting - blocked_by_all(database, host))


def blocked_by_all(database: Database, host: str) -> set[str]:
    """Return the groups, and what stands for metrics, that no worker of a host can do.

    Workers of other back ends do not count. Without an able worker of a group's back
    end, the group is not in the answer.
    """
    found = able(list_workers(database), host)
    blocked: set[str] = set()
    for backend in BACKENDS:
        names = {worker.name for worker in found if worker.backend == backend}
        by_all = blocked_groups.groups_blocked_by_all(database, host, names)
        blocked |= {group for group in by_all if backend_of(group) == backend}
    return blocked
