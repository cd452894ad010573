"""What a database holds, by sweep: how many images, how large, and from when."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from storage.jobs.sweeps import FAILED, UNMADE, Sweep
from storage.sql.database import Database
from storage.sql.schema import jobs, results, sweep_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What there is of a sweep.

    Attributes:
        sweep: Its name.
        state: As it is stored, or `finished` for an active sweep with nothing left to
            make.
        total: Images that it wants, or has from an earlier revision.
        done: Those that are there.
        failed: Those whose job failed or was quarantined.
        size_bytes: Of the files that are there, without thumbnails. Those of images
            that several sweeps have count for each.
        submitted_at: When it was first submitted, as ISO 8601 in UTC.
        last_image_at: When its newest image was made; None if there is none.
        owner: The person who submitted it first; None if it has none.
    """

    sweep: str
    state: str
    total: int
    done: int
    failed: int
    size_bytes: int
    submitted_at: str
    last_image_at: str | None
    owner: str | None = None


@dataclass(slots=True)
class _Counts:
    by_state: dict[str, int]
    size_bytes: int = 0
    last_image_at: str | None = None

    def sum_of(self, *states: str) -> int:
        return sum(self.by_state.get(state, 0) for state in states)


def take_inventory(database: Database, sweeps: list[Sweep]) -> Iterator[Holding]:
    """Yield what there is of some sweeps.

    Raises:
        DatabaseError: SQL cannot be reached.
    """
    found = _count(database, [sweep.id for sweep in sweeps])
    for sweep in sweeps:
        counts = found.get(sweep.id, _Counts({}))
        is_open = counts.sum_of(*UNMADE) > 0 or sweep.submitting is not None
        is_finished = sweep.state == "active" and not is_open
        yield Holding(
            sweep=sweep.name,
            state="finished" if is_finished else sweep.state,
            total=counts.sum_of(*counts.by_state),
            done=counts.sum_of("done"),
            failed=counts.sum_of(*FAILED),
            size_bytes=counts.size_bytes,
            submitted_at=sweep.created_at,
            last_image_at=counts.last_image_at,
            owner=sweep.owner,
        )


def _count(database: Database, ids: list[int]) -> dict[int, _Counts]:
    query = (
        sa.select(
            sweep_jobs.c.sweep_id,
            jobs.c.state,
            sa.func.count(),
            sa.func.sum(results.c.size_bytes),
            sa.func.max(results.c.finished_at),
        )
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .outerjoin(results, results.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id.in_(ids))
        .group_by(sweep_jobs.c.sweep_id, jobs.c.state)
    )
    found: dict[int, _Counts] = {}
    with database.read() as connection:
        for sweep_id, state, count, size_bytes, last_at in connection.execute(query):
            counts = found.setdefault(sweep_id, _Counts({}))
            counts.by_state[state] = count
            if state == "done":
                counts.size_bytes = int(size_bytes or 0)
            # An evicted image was made, too.
            known = filter(None, (counts.last_image_at, last_at))
            counts.last_image_at = max(known, default=None)
    return found
