"""What a finished job leaves: its file, its timings, where it was made."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.host.environment import Environment
from storage.job import Model, canonical_json
from storage.jobs.budgets import note_made
from storage.jobs.owners import note_used
from storage.scores.image_changes import note_images_done
from storage.sql.database import Database, insert_into
from storage.sql.model_places import ids_of
from storage.sql.rows import lock_jobs
from storage.sql.schema import LEASED, MADE_STATES, environments, jobs, results


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds that an image took, by phase.

    Attributes:
        queue_s: From submission to the claim; None where unknown.
        load_s: Loading the model; 0 where it was resident.
        encode_s: Encoding the prompts; 0 where their texts were known.
        denoise_s: All model evaluations and scheduler steps; in a batch, its share of
            the model's time, and the time of its own scheduler.
        decode_s: Latents to pixels.
        save_s: PNG and file.
    """

    queue_s: float | None = None
    load_s: float = 0.0
    encode_s: float
    denoise_s: float
    decode_s: float
    save_s: float

    @property
    def total_s(self) -> float:
        """All phases but the queue and the load."""
        return self.encode_s + self.denoise_s + self.decode_s + self.save_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished image.

    Attributes:
        path: Relative to the image folder.
        size_bytes: Size of the file.
        pixel_sha256: Over the RGB bytes, row by row; the file's own bytes may
            differ between versions of the PNG library.
        engine: `slots` for a batch of mixed jobs, `plain` for a call of the pipeline
            for this image alone.
        batch_width: Rows of the batch that it was painted in, empty ones included.
        slot: Its row in that batch, from 0.
        evaluations: Calls of the model, counted.
        timings: Where the time went.
        decode_dtype: Precision in which latents became pixels, `float32` and so on.
        peak_bytes: Most GPU memory in use meanwhile; None on a CPU.
        warm_up: Whether it was among the first after a load or a compilation, so
            that its timings say little.
        finished_at: When its file was complete; ISO 8601, UTC.
        place: The model, with the place it was loaded from; None where unknown.
    """

    path: str
    size_bytes: int
    pixel_sha256: str
    engine: str = "plain"
    batch_width: int = 1
    slot: int = 0
    evaluations: int
    timings: Timings
    decode_dtype: str = ""
    peak_bytes: int | None = None
    warm_up: bool = False
    finished_at: str
    place: Model | None = None


def record_done(
    database: Database,
    done: Mapping[int, Result],
    *,
    worker: str,
    environment: Environment,
    owner: str | None = None,
    folder_id: int | None = None,
) -> set[int]:
    """Mark jobs as done, each once, even if the lease ended meanwhile.

    In the same transaction, the scores that waited for them may be computed, and the
    budgets of sweeps and owners are charged.

    Any image of a job is as good as another; only the first to finish counts. But the
    row must describe the file that is there: so a job that another worker holds by now
    is left to that worker, which may have replaced the file, or may yet do so. A job
    that was evicted stays so.

    Args:
        database: Where the jobs are.
        done: What was made, by the id of the job.
        worker: Who made it, for people.
        environment: Where and with what.
        owner: Who made it, as its claims say; None if nobody else can hold the jobs.
        folder_id: Row of the image folder that the files are in, if it has one.

    Returns:
        The ids of `done` that were not done before.
    """
    with database.write() as connection:
        lock_jobs(connection, jobs.c.id.in_(done))
        first = record_locked(
            connection,
            done,
            worker=worker,
            environment=environment,
            owner=owner,
            folder_id=folder_id,
        )
        seconds = {each: done[each].timings.total_s for each in first}
        note_made(connection, seconds)
        note_used(connection, seconds, worker=worker)
        return first


def record_locked(
    connection: Connection,
    done: Mapping[int, Result],
    *,
    worker: str,
    environment: Environment,
    owner: str | None = None,
    folder_id: int | None = None,
) -> set[int]:
    """Mark jobs as done in a transaction that holds their locks; see `record_done`."""
    environment_id = keep_environment(connection, environment)
    first = {
        job_id
        for job_id in sorted(done)
        if _finish(connection, job_id, owner, total_s=done[job_id].timings.total_s)
    }
    places = ids_of(connection, [one.place for one in done.values() if one.place])
    rows = [
        {
            **_row(result),
            "job_id": job_id,
            "worker": worker,
            "environment_id": environment_id,
            "folder_id": folder_id,
            "place_id": places.get(result.place) if result.place else None,
        }
        for job_id, result in done.items()
        if job_id in first
    ]
    if rows:
        connection.execute(sa.insert(results), rows)
    note_images_done(connection, first)
    return first


def record_failure(database: Database, job_id: int, *, owner: str, error: str) -> None:
    """Mark a job that `owner` holds as failed; `error` is the reason, one sentence."""
    with database.write() as connection:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.owner == owner, LEASED)
            .values(state="failed", owner=None, lease_until=None, error=error)
        )


def keep_environment(connection: Connection, environment: Environment) -> int:
    """Store an environment if it is new, and return the id of its row."""
    details = canonical_json(environment.details)
    text = canonical_json([environment.gpu, environment.host, details])
    row = {
        "digest": hashlib.sha256(text.encode()).hexdigest()[:32],
        "gpu": environment.gpu,
        "host": environment.host,
        "details": details,
    }
    statement = insert_into(connection, environments)
    connection.execute(statement.on_conflict_do_nothing(), [row])
    query = sa.select(environments.c.id).where(environments.c.digest == row["digest"])
    return int(connection.execute(query).scalar_one())


def _finish(
    connection: Connection, job_id: int, owner: str | None, *, total_s: float
) -> bool:
    free = sa.or_(jobs.c.owner.is_(None), jobs.c.owner == owner)
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.not_in(MADE_STATES))
        .where(sa.true() if owner is None else free)
        .values(state="done", owner=None, lease_until=None, error=None, total_s=total_s)
    )
    return connection.execute(statement).rowcount == 1


def _row(result: Result) -> dict[str, Any]:
    facts = asdict(replace(result, place=None))
    timings = facts.pop("timings")
    del facts["place"]
    return {**timings, **facts}
