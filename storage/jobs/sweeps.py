"""Sweeps in SQL: submitted specs, and how far they are."""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.errors import ChangedSweepError, UsageError
from storage.job import canonical_json
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.filters import Filter, find
from storage.sql.rows import lock_jobs
from storage.sql.schema import (
    LEASED,
    RUNNABLE,
    jobs,
    models,
    results,
    sweep_jobs,
    sweeps,
)

#: Priorities run from 0, first, to 9, last.
NORMAL_PRIORITY = 5
PRIORITIES = range(10)
#: Added to the position of a job whose worker died: it waits behind its group's rest.
BEHIND = 10**12
#: States of jobs that are to be made, though perhaps not now.
UNMADE = ("pending", "leased")
#: States of jobs that nobody makes any more, though there is no image.
FAILED = ("failed", "quarantined")
#: Jobs that are tried again in one transaction.
SWEEP_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A submitted spec.

    Attributes:
        id: Row of the sweep.
        name: Unique.
        revision: 1, and one more for each changed spec under the same name.
        digest: Of all that decides what it wants; see `digest_of`.
        spec: YAML text as submitted.
        axes: Axis names to their values' labels, in display order.
        state: `active`, `paused` or `cancelled`.
        priority: 0, first, to 9, last.
        reason: Why it was paused, where it paused itself.
        submitting: Jobs that its submission is to store; None when it has.
    """

    id: int
    name: str
    revision: int
    digest: str
    spec: str
    axes: Mapping[str, Any]
    state: str
    priority: int
    reason: str | None = None
    submitting: int | None = None


def save_sweep(  # noqa: PLR0913 - a sweep has that many sides
    database: Database,
    name: str,
    *,
    spec: str,
    axes: Mapping[str, Any],
    meanings: Sequence[str] = (),
    priority: int | None = None,
    min_free_bytes: int = 0,
    seen: int | None = None,
    submitting: int | None = None,
) -> Sweep:
    """Create a sweep, or give a known one a new revision if what it wants changed.

    That is the spec, the values of its axes (a file of prompts may have changed), or
    what these mean: the weights of a model, what it takes where the spec says nothing,
    and how many jobs it makes. A cancelled or paused sweep becomes active again; its
    jobs hear of it by `storage.jobs.lifecycle.settle`. Its priority stays as it was
    unless one is given.

    Args:
        database: Where sweeps are.
        name: The sweep's name.
        spec: YAML text.
        axes: Axis names to the labels of their values.
        meanings: What decides beside the text what the sweep wants.
        priority: 0, first, to 9, last; None to leave it.
        min_free_bytes: Disk space that must stay free.
        seen: The revision that the new one is to follow, 0 for none; None for any.
        submitting: Jobs to store, for `storage.jobs.completeness`; None where none
            follow.

    Raises:
        ChangedSweepError: Another spec was stored under that name since `seen`.
    """
    values = {
        "digest": digest_of(spec, axes, meanings=meanings),
        "spec": spec,
        # The order of the axes is the display order.
        "axes": json.dumps(axes, ensure_ascii=False),
        "state": "active",
        "reason": None,
        "min_free_bytes": min_free_bytes,
    }
    urgency = {} if priority is None else {"priority": priority}
    first = {"priority": NORMAL_PRIORITY, "revision": 1, "created_at": utc_now()}
    is_same = sweeps.c.digest == values["digest"]
    changed = sa.case((is_same, 0), else_=1)
    is_complete = sa.and_(is_same, sweeps.c.submitting.is_(None))
    # PostgreSQL takes a NULL of no type for text.
    asked = sa.literal(submitting, sweeps.c.submitting.type)
    left = sa.case((is_complete, sa.null()), else_=asked)
    follows = None if seen is None else sa.or_(sweeps.c.revision == seen, is_same)
    columns = [column for column in sweeps.c if column.name != "axes"]
    with database.write() as connection:
        # One statement, so that two producers may submit the same sweep at once.
        stored = connection.execute(
            insert_into(connection, sweeps)
            .values(name=name, submitting=submitting, **{**first, **values, **urgency})
            .on_conflict_do_update(
                index_elements=["name"],
                set_={
                    **values,
                    **urgency,
                    "revision": sweeps.c.revision + changed,
                    "submitting": left,
                },
                where=follows,
            )
            .returning(*columns)
        ).first()
    if stored is None:
        raise ChangedSweepError(name)
    return _sweep(stored, axes)


def digest_of(
    spec: str, axes: Mapping[str, Any], *, meanings: Sequence[str] = ()
) -> str:
    """Return the digest of what a sweep wants; see `save_sweep`."""
    wanted = canonical_json([spec, axes, *meanings])
    return hashlib.sha256(wanted.encode()).hexdigest()[:32]


def retry(
    database: Database, sweep: Sweep, *, among: Filter | None = None
) -> dict[str, list[str]]:
    """Make a sweep's failed and quarantined jobs pending again, as if never begun.

    Args:
        database: Where they are.
        sweep: The sweep; other sweeps that want them get them too.
        among: Which of them; its sweep is this one, whatever it says. None for all.

    Returns:
        Their keys by batch group, for the messages that follow.
    """
    which = replace(among or Filter(), sweep=sweep.name)
    which = replace(which, states=which.states or FAILED)
    keys = [row["key"] for row in find(database, which)]
    groups: dict[str, list[str]] = {}
    for start in range(0, len(keys), SWEEP_ROWS):
        for group, key in _begin_again(database, keys[start : start + SWEEP_ROWS]):
            groups.setdefault(group, []).append(key)
    return groups


def find_sweep(database: Database, name: str) -> Sweep | None:
    """Return the sweep of that name, or None."""
    with database.read() as connection:
        query = sa.select(sweeps).where(sweeps.c.name == name)
        row = connection.execute(query).first()
        return _sweep(row, json.loads(row.axes)) if row else None


def require_sweeps(database: Database, names: Sequence[str]) -> list[Sweep]:
    """Return the sweeps of those names, each once.

    Raises:
        UsageError: There is none of some name.
    """
    known = {sweep.name: sweep for sweep in list_sweeps(database)}
    for name in names:
        if name not in known:
            raise UsageError(_no_such_sweep(name, list(known)))
    return [known[name] for name in dict.fromkeys(names)]


def list_sweeps(database: Database) -> list[Sweep]:
    """Return every sweep, the oldest first."""
    with database.read() as connection:
        rows = connection.execute(sa.select(sweeps).order_by(sweeps.c.id))
        return [_sweep(row, json.loads(row.axes)) for row in rows]


def count_states(database: Database, sweep: Sweep) -> dict[str, int]:
    """Count a sweep's jobs by state; states without a job are left out."""
    query = (
        sa.select(jobs.c.state, sa.func.count())
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id)
        .group_by(jobs.c.state)
    )
    with database.read() as connection:
        return dict(connection.execute(query).all())


def count_models(database: Database, sweep: Sweep) -> int:
    """Count the models that a sweep's unmade jobs need."""
    query = (
        sa.select(sa.func.count(sa.distinct(jobs.c.model_id)))
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(sweep_jobs.c.sweep_id == sweep.id, jobs.c.state.in_(UNMADE))
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def count_all_states(database: Database) -> dict[int, dict[str, int]]:
    """Count the jobs of every sweep by state, by the row of the sweep."""
    query = (
        sa.select(sweep_jobs.c.sweep_id, jobs.c.state, sa.func.count())
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .group_by(sweep_jobs.c.sweep_id, jobs.c.state)
    )
    counts: dict[int, dict[str, int]] = {}
    with database.read() as connection:
        for sweep_id, state, count in connection.execute(query):
            counts.setdefault(sweep_id, {})[state] = count
    return counts


def count_leased(database: Database) -> int:
    """Count the jobs of all sweeps that workers have in hand."""
    query = sa.select(sa.func.count()).select_from(jobs).where(LEASED)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def count_unmade(database: Database) -> int:
    """Count the jobs that wait for a worker or are in the hands of one."""
    query = sa.select(sa.func.count()).where(sa.or_(RUNNABLE, LEASED))
    with database.read() as connection:
        return int(connection.execute(query.select_from(jobs)).scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What images of one kind cost so far, warm-ups left out.

    Attributes:
        evaluation_s: Seconds of a worker per evaluation of the model, all included.
        image_bytes: Size of a file.
    """

    evaluation_s: float
    image_bytes: float


def measured_costs(database: Database) -> dict[tuple[str, str, int, int], Cost]:
    """Return what past images cost, by model fingerprint, dtype, width and height."""
    kind = (models.c.fingerprint, jobs.c.dtype, jobs.c.width, jobs.c.height)
    seconds = sa.func.sum(results.c.total_s) / sa.func.sum(jobs.c.evaluations)
    query = (
        sa.select(*kind, seconds, sa.func.avg(results.c.size_bytes))
        .join(jobs, jobs.c.model_id == models.c.id)
        .join(results, results.c.job_id == jobs.c.id)
        .where(~results.c.warm_up)
        .group_by(*kind)
    )
    with database.read() as connection:
        return {
            tuple(row[:4]): Cost(evaluation_s=row[4], image_bytes=float(row[5]))
            for row in connection.execute(query)
        }


def recent_rate(database: Database, sweep: Sweep, *, window_s: float = 60.0) -> float:
    """Return the images a second that were finished for a sweep of late."""
    since = datetime.now(UTC) - timedelta(seconds=window_s)
    query = (
        sa.select(sa.func.count())
        .select_from(results)
        .join(sweep_jobs, sweep_jobs.c.job_id == results.c.job_id)
        .where(
            sweep_jobs.c.sweep_id == sweep.id,
            results.c.finished_at >= since.isoformat(timespec="microseconds"),
        )
    )
    with database.read() as connection:
        return float(connection.execute(query).scalar_one()) / window_s


def failures(
    database: Database, sweep: Sweep, *, limit: int = 3
) -> list[tuple[str, int]]:
    """Return the most frequent reasons for which a sweep's jobs failed, with counts."""
    count = sa.func.count()
    query = (
        sa.select(jobs.c.error, count)
        .join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        .where(
            sweep_jobs.c.sweep_id == sweep.id,
            jobs.c.state.in_(FAILED),
        )
        .group_by(jobs.c.error)
        .order_by(count.desc())
        .limit(limit)
    )
    with database.read() as connection:
        return list(connection.execute(query).all())


def _begin_again(database: Database, keys: Sequence[str]) -> Sequence[Any]:
    fresh = {
        "state": "pending",
        "attempts": 0,
        "deaths": 0,
        "error": None,
        "position": jobs.c.position % BEHIND,
    }
    with database.write() as connection:
        failed = sa.and_(jobs.c.key.in_(keys), jobs.c.state.in_(FAILED))
        again = connection.execute(
            sa.update(jobs)
            .where(lock_jobs(connection, failed))
            .values(fresh)
            .returning(jobs.c.group_key, jobs.c.key)
        )
        return again.all()


def _no_such_sweep(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif known:
        hint = "`nightsweep status` lists them."
    else:
        hint = "none was yet: `nightsweep run SPEC` makes one."
    return f"sweep must be one that was submitted, got {name!r}; {hint}"


def _sweep(row: Any, axes: Mapping[str, Any]) -> Sweep:
    return Sweep(
        id=row.id,
        name=row.name,
        revision=row.revision,
        digest=row.digest,
        spec=row.spec,
        axes=axes,
        state=row.state,
        priority=row.priority,
        reason=row.reason,
        submitting=row.submitting,
    )
