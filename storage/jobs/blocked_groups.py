"""Groups that a worker could not make, through no fault of their jobs.

If a model or a package is missing, or a fingerprint differs, the jobs stay pending,
other groups go on, and people see why. A block applies to one worker of one host: other
workers try for themselves. The worker leaves the group alone for a pause, then tries
again. The block is lifted when the worker makes an image of the group. It is also
lifted when `worker` starts on that host, or a sweep is submitted again: what was
missing may be there now.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from storage.jobs.sweeps import Sweep
from storage.scores.score_claims import held_metrics
from storage.sql.database import Database, insert_into, seconds_between, utc_now
from storage.sql.schema import LEASED, RUNNABLE, blocks, jobs, model_places, sweep_jobs

#: Seconds for which a worker leaves a group alone that it could not make: as long as
#: the block has existed, but within these bounds.
BLOCK_PAUSE_S = 60.0
MOST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Images that some workers could not make.

    Attributes:
        host: The workers' machine.
        workers: Their names, in order.
        reason: The reason that they gave.
        images: Unmade jobs that this holds up on that host.
    """

    host: str
    workers: tuple[str, ...]
    reason: str
    images: int


def block(
    database: Database, group: str, *, host: str, worker: str, reason: str
) -> None:
    """Note that a worker could not make jobs of a group, and why; keep `since`."""
    now = datetime.now(UTC)
    key = {"group_key": group, "host": host, "worker": worker}
    with database.write() as connection:
        query = sa.select(blocks.c.since).where(_is(key))
        since = connection.execute(query).scalar() or _after(now, 0)
        pause_s = max(BLOCK_PAUSE_S, seconds_between(since, _after(now, 0)))
        pause_s = min(pause_s, MOST_PAUSE_S)
        values = {"reason": reason, "retry_at": _after(now, pause_s)}
        connection.execute(
            insert_into(connection, blocks)
            .values(**key, since=since, **values)
            .on_conflict_do_update(index_elements=list(key), set_=values)
        )


def block_held(
    database: Database, owner: str, *, host: str, worker: str, reason: str
) -> None:
    """Note that a worker could not load the models of what it holds.

    Args:
        database: Where the jobs are.
        owner: Its name in claims, or the prefix of `worker_ids.process_name`.
        host: Its machine.
        worker: What people call it.
        reason: What loading one does, as the end of a sentence.
    """
    query = (
        sa.select(jobs.c.group_key, model_places.c.name)
        .join(model_places, model_places.c.id == jobs.c.place_id)
        .where(jobs.c.owner.startswith(owner, autoescape=True), LEASED)
        .distinct()
    )
    with database.read() as connection:
        held = [tuple(row) for row in connection.execute(query)]
        held += held_metrics(connection, owner)
    for group, name in held:
        text = f"a model must load, but loading {name} {reason}"
        block(database, group, host=host, worker=worker, reason=text)


def resting(database: Database) -> dict[str, set[tuple[str, str]]]:
    """Return for each group the workers, by host and name, that leave it alone now."""
    now = datetime.now(UTC)
    # A pause that ends later than possible was noted before a clock was set back.
    pause = blocks.c.retry_at.between(_after(now, 0), _after(now, MOST_PAUSE_S))
    query = sa.select(blocks.c.group_key, blocks.c.host, blocks.c.worker).where(pause)
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    with database.read() as connection:
        for group, host, worker in connection.execute(query):
            found[group].add((host, worker))
    return dict(found)


def groups_blocked_by_all(
    database: Database, host: str, workers: Collection[str]
) -> set[str]:
    """Return the groups that none of these workers of a host could make.

    With no workers, the answer is empty.
    """
    query = (
        sa.select(blocks.c.group_key)
        .where(blocks.c.host == host, blocks.c.worker.in_(workers))
        .group_by(blocks.c.group_key)
        .having(sa.func.count() == len(set(workers)))
    )
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def lift(database: Database, group: str, *, host: str, worker: str) -> None:
    """Note that a worker makes jobs of a group.

    Blocks of other workers whose pause is over are removed too: those workers may be
    gone.
    """
    mine = sa.and_(blocks.c.host == host, blocks.c.worker == worker)
    is_over = blocks.c.retry_at < utc_now()
    _remove(database, sa.and_(blocks.c.group_key == group, sa.or_(mine, is_over)))


def lift_all(database: Database, *, host: str | None = None) -> None:
    """Remove the blocks; workers that still cannot make a group will note it again.

    Args:
        database: Where the blocks are.
        host: The machine whose workers' blocks are meant; None for all.
    """
    _remove(database, sa.true() if host is None else blocks.c.host == host)


def blocked_jobs(database: Database, sweep: Sweep) -> list[Blocked]:
    """Return what holds up a sweep's unmade jobs, where, and how many."""
    with database.read() as connection:
        # Mostly none, which spares a look at all jobs.
        groups = connection.execute(sa.select(blocks.c.group_key)).scalars().all()
    if not groups:
        return []
    unmade = (
        _unmade(sweep, set(groups))
        .with_only_columns(jobs.c.group_key, sa.func.count().label("images"))
        .group_by(jobs.c.group_key)
        .subquery()
    )
    columns = (blocks.c.host, blocks.c.reason, blocks.c.group_key, blocks.c.worker)
    query = (
        sa.select(*columns, unmade.c.images)
        .join(unmade, unmade.c.group_key == blocks.c.group_key)
        .order_by(*columns)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return list(_merged(rows))


def count_unmade(database: Database, sweep: Sweep, groups: Collection[str]) -> int:
    """Count a sweep's unmade jobs of these groups."""
    query = _unmade(sweep, groups).with_only_columns(sa.func.count())
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def _unmade(sweep: Sweep, groups: Collection[str]) -> sa.Select[Any]:
    """Select a sweep's unmade jobs of these groups."""
    return (
        sa.select(jobs)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id, sa.or_(RUNNABLE, LEASED))
        .where(jobs.c.group_key.in_(groups))
    )


def _merged(rows: Sequence[Any]) -> Iterator[Blocked]:
    """Merge rows of one host and reason: by group, then by equal sets of workers."""
    for (host, reason), same in groupby(rows, key=attrgetter("host", "reason")):
        images: dict[tuple[str, ...], int] = defaultdict(int)
        for _, each in groupby(same, key=attrgetter("group_key")):
            first, *others = each
            images[first.worker, *(row.worker for row in others)] += first.images
        for workers, count in images.items():
            yield Blocked(host=host, workers=workers, reason=reason, images=count)


def _is(key: dict[str, str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(blocks.c[name] == value for name, value in key.items()))


def _after(now: datetime, seconds: float) -> str:
    return (now + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _remove(database: Database, which: sa.ColumnElement[bool]) -> None:
    # Usually there is none, and looking takes no lock.
    with database.read() as connection:
        found = connection.execute(sa.select(blocks.c.since).where(which)).first()
    if found:
        with database.write() as connection:
            connection.execute(sa.delete(blocks).where(which))
