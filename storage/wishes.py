"""What a sweep wants: its jobs stored, its membership noted, their priority kept.

Facts belong to jobs, wishes to membership: a job is runnable while any active sweep
wants it, at the most urgent priority among them, and its `priority` column says so.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import Database, insert_into, utc_now
from storage.job import PlannedJob, canonical_json
from storage.rows import job_row, model_row, prompt_digest
from storage.schema import jobs, models, prompts, schedulers, sweep_jobs, sweeps
from storage.sweeps import Sweep

#: Names the advisory lock under which a producer adds jobs on PostgreSQL.
ADD_LOCK = 7_326_118
#: Jobs that leave a sweep in one transaction.
STEP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What `add_jobs` found.

    Attributes:
        new: Jobs that did not exist before.
        existing: States of the others, to their counts.
        unmade: Those of the batch that wait to be made, new ones included.
    """

    new: int
    existing: Mapping[str, int]
    unmade: Sequence[PlannedJob]


def add_jobs(database: Database, sweep: Sweep, planned: Sequence[PlannedJob]) -> Added:
    """Store a batch of jobs that do not exist yet, and note that `sweep` wants all.

    Call it with a thousand or so at a time. Calling it again changes nothing.
    """
    with database.write() as connection:
        if not database.is_sqlite:
            # One producer at a time, as on SQLite: two that add the same jobs in
            # another order would wait for each other for ever.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADD_LOCK)))
        keys = [one.job.key for one in planned]
        known = states_of(connection, keys)
        fresh = [one for one in planned if one.job.key not in known]
        model_ids = _model_ids(connection, planned)
        if fresh:
            _insert_jobs(connection, sweep, fresh, model_ids=model_ids)
        _rank(connection, _join_sweep(connection, sweep, planned))
    return Added(
        new=len(fresh),
        existing=Counter(known.values()),
        unmade=[w for w in planned if known.get(w.job.key, "pending") == "pending"],
    )


def drop_absent(database: Database, sweep: Sweep) -> int:
    """Let the jobs go that an earlier revision wanted and this one does not.

    Unfinished ones leave the sweep; those with an image stay. Gives how many left.
    """
    left = last = 0
    while True:
        # Step by step, so that no worker waits long for the database.
        with database.write() as connection:
            gone = _absent(connection, sweep, after=last)
            if not gone:
                return left
            mine = sweep_jobs.c.sweep_id == sweep.id
            leave = sa.delete(sweep_jobs).where(mine, sweep_jobs.c.job_id.in_(gone))
            connection.execute(leave)
            _rank(connection, gone)
        left += len(gone)
        last = gone[-1]


def states_of(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """Give the state of each of `keys` that exists."""
    query = sa.select(jobs.c.key, jobs.c.state).where(jobs.c.key.in_(keys))
    return dict(connection.execute(query).all())


def _absent(connection: Connection, sweep: Sweep, *, after: int) -> list[int]:
    query = (
        sa.select(sweep_jobs.c.job_id)
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(
            sweep_jobs.c.sweep_id == sweep.id,
            sweep_jobs.c.job_id > after,
            sweep_jobs.c.revision < sweep.revision,
            jobs.c.state != "done",
        )
        .order_by(sweep_jobs.c.job_id)
        .limit(STEP)
    )
    return list(connection.execute(query).scalars())


def _insert_jobs(
    connection: Connection,
    sweep: Sweep,
    planned: Sequence[PlannedJob],
    *,
    model_ids: Mapping[str, int],
) -> None:
    prompt_ids = _prompt_ids(connection, planned)
    scheduler_ids = _scheduler_ids(connection, planned)
    now = utc_now()
    rows = [
        {
            **job_row(one.job),
            "sweep_id": sweep.id,
            "model_id": model_ids[one.job.model.fingerprint],
            "prompt_id": prompt_ids[prompt_digest(one.job)],
            "scheduler_id": scheduler_ids[_scheduler_key(one)],
            "position": one.position,
            "evaluations": one.evaluations,
            "state": "pending",
            "attempts": 0,
            "deaths": 0,
            "created_at": now,
        }
        for one in planned
    ]
    connection.execute(insert_into(connection, jobs).on_conflict_do_nothing(), rows)


def _model_ids(connection: Connection, planned: Sequence[PlannedJob]) -> dict[str, int]:
    rows = {one.job.model.fingerprint: model_row(one.job.model) for one in planned}
    statement = insert_into(connection, models).on_conflict_do_nothing()
    connection.execute(statement, [rows[key] for key in sorted(rows)])
    query = sa.select(models).where(models.c.fingerprint.in_(rows))
    known = connection.execute(query).all()
    for row in known:
        here = rows[row.fingerprint]["name"]
        if _permanence(here) >= _permanence(row.name):
            where = sa.update(models).where(models.c.id == row.id)
            connection.execute(where.values(rows[row.fingerprint]))
    return {row.fingerprint: row.id for row in known}


def _permanence(name: str) -> int:
    # Workers look where a model was planned last, and had these very files; but no
    # scratch copy leads them away from the package or the Hub.
    if not Path(name).is_absolute():
        return 2
    return 1 if Path(name).exists() else 0


def _prompt_ids(
    connection: Connection, planned: Sequence[PlannedJob]
) -> dict[str, int]:
    rows = {
        prompt_digest(one.job): {
            "digest": prompt_digest(one.job),
            "text": one.job.prompt,
            "negative": one.job.negative_prompt,
            "template": one.template,
            "choices": canonical_json(list(one.choices)) if one.choices else None,
        }
        for one in planned
    }
    statement = insert_into(connection, prompts).on_conflict_do_nothing()
    connection.execute(statement, [rows[key] for key in sorted(rows)])
    query = sa.select(prompts.c.digest, prompts.c.id)
    found = connection.execute(query.where(prompts.c.digest.in_(rows)))
    return dict(found.all())


def _scheduler_ids(
    connection: Connection, planned: Sequence[PlannedJob]
) -> dict[tuple[str, str, str], int]:
    keys = sorted({_scheduler_key(one) for one in planned})
    names = ("class_name", "options", "name")
    statement = insert_into(connection, schedulers).on_conflict_do_nothing()
    connection.execute(statement, [dict(zip(names, key, strict=True)) for key in keys])
    columns = schedulers.c
    query = sa.select(columns.class_name, columns.options, columns.name, columns.id)
    found = connection.execute(
        query.where(columns.class_name.in_({key[0] for key in keys}))
    )
    return {(row[0], row[1], row[2]): row[3] for row in found}


def _scheduler_key(one: PlannedJob) -> tuple[str, str, str]:
    job = one.job
    options = canonical_json(job.scheduler_options)
    return (job.scheduler_class, options, one.scheduler_name)


def _join_sweep(
    connection: Connection, sweep: Sweep, planned: Sequence[PlannedJob]
) -> list[int]:
    keys = {one.job.key: one for one in planned}
    query = sa.select(jobs.c.key, jobs.c.id).where(jobs.c.key.in_(keys))
    rows = [
        {
            "sweep_id": sweep.id,
            "job_id": job_id,
            "position": keys[key].position,
            "scheduler_label": keys[key].scheduler_label,
            "cell": json.dumps(keys[key].cell, ensure_ascii=False),
            "revision": sweep.revision,
        }
        for key, job_id in connection.execute(query)
    ]
    statement = insert_into(connection, sweep_jobs)
    renewed = ("position", "scheduler_label", "cell", "revision")
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["sweep_id", "job_id"],
            set_={name: statement.excluded[name] for name in renewed},
            # A slower producer of an older revision takes nothing back.
            where=sweep_jobs.c.revision <= statement.excluded.revision,
        ),
        rows,
    )
    return [row["job_id"] for row in rows]


def _rank(connection: Connection, job_ids: Sequence[int]) -> None:
    """Give each job the most urgent priority of the active sweeps that want it."""
    best = (
        sa.select(sa.func.min(sweeps.c.priority))
        .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
        .where(sweep_jobs.c.job_id == jobs.c.id, sweeps.c.state == "active")
        .scalar_subquery()
    )
    connection.execute(
        sa.update(jobs)
        .where(
            jobs.c.id.in_(job_ids),
            jobs.c.state != "done",
            jobs.c.priority.is_distinct_from(best),
        )
        .values(priority=best)
    )
