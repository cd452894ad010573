"""Membership: which sweeps want a job, and the priority that follows from it.

Facts belong to jobs, and what a sweep wants belongs to membership. A job is runnable
while any active sweep wants it, at the most urgent priority among them. Its `priority`
column says so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import Model, PlannedJob
from storage.jobs.budgets import FINISHING
from storage.jobs.sweeps import BEHIND, Sweep
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.dimensions import Dimensions, store_templates
from storage.sql.job_settings import last_id, note_settings
from storage.sql.model_places import places_by_id
from storage.sql.rows import insert_rows, job_row, lock_jobs, member_row
from storage.sql.scheduler_rows import Pair, keep_names, store_names
from storage.sql.schema import MADE_STATES, jobs, results, sweep_jobs, sweeps

#: Names the advisory lock under which a producer changes members on PostgreSQL.
ADD_LOCK = 7_326_118
#: Sweeps that want their jobs.
ACTIVE = sweeps.c.state == "active"
#: A sweep at its limit still wants its jobs in hand.
_WANTING = sa.or_(ACTIVE, sa.and_(jobs.c.state == "leased", FINISHING))
#: The most urgent priority of the active sweeps that want a job; NULL if none does.
BEST = (
    sa.select(sa.func.min(sweeps.c.priority))
    .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
    .where(sweep_jobs.c.job_id == jobs.c.id, _WANTING)
    .correlate(jobs)
    .scalar_subquery()
)
#: The owner of that sweep; of several, of the oldest. NULL if none wants the job.
_PAYER = (
    sa.select(sweeps.c.owner_id)
    .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
    .where(sweep_jobs.c.job_id == jobs.c.id, _WANTING)
    .order_by(sweeps.c.priority, sweeps.c.id)
    .limit(1)
    .correlate(jobs)
    .scalar_subquery()
)
#: The owner that a job counts for: as long as no sweep wants it, the last one.
PAYER = sa.func.coalesce(_PAYER, jobs.c.payer_id)
_IS_CHANGED = sa.or_(jobs.c.priority.is_distinct_from(BEST), jobs.c.payer_id != PAYER)
#: Jobs that leave a sweep in one transaction, and keys that are looked up in one query.
MEMBER_ROWS = 1000
#: States of rows that have a job's former keys, in order of preference.
_PREFERRED = ("done", "evicted", "leased", "pending", "failed", "quarantined")


@dataclass(frozen=True, slots=True)
class Known:
    """The existing row of a planned job.

    Attributes:
        id: The row's id.
        key: The job's key, or one of its former keys.
        state: Of `storage.sql.schema.JOB_STATES`.
        model_id: Row of the model.
        scheduler_id: Row of the scheduler.
        place_id: Row of the place that its model was loaded from, or was planned at.
        position: Its place in the order of execution.
    """

    id: int
    key: str
    state: str
    model_id: int
    scheduler_id: int
    place_id: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What `add_jobs` found.

    Attributes:
        fresh: Jobs that did not exist before.
        existing: Counts of the other jobs, by state.
    """

    fresh: Sequence[PlannedJob]
    existing: Mapping[str, int]


def add_jobs(database: Database, sweep: Sweep, planned: Sequence[PlannedJob]) -> Added:
    """Store a batch of jobs that do not exist yet, and note that `sweep` wants all.

    Call it with about a thousand jobs at a time. Calling it again changes nothing. If
    a row has a former key of a job, the sweep wants that row. Jobs that wait, and that
    this sweep was the first to want, get their place in its present order.
    """
    # Rows are made before the lock is taken, since workers wait for it.
    rows = {one.job.key: job_row(one) for one in planned}
    members = [
        member_row(one, sweep_id=sweep.id, revision=sweep.revision) for one in planned
    ]
    dimensions = Dimensions(planned)
    with database.write() as connection:
        lock_producers(connection)
        priority, payer_id = _lock_sweep(connection, sweep)
        known = find_known(connection, planned)
        keep_names(connection, _with_rows(planned, known), sweep_id=sweep.id)
        fresh = [key for key in rows if key not in known]
        ids = dimensions.store(connection, fresh)
        if fresh:
            made = {
                "sweep_id": sweep.id,
                "payer_id": payer_id,
                "priority": priority,
                "created_at": utc_now(),
            }
            some = [{**rows[key], **ids[key], **made} for key in fresh]
            last = last_id(connection)
            insert_rows(connection, insert_into(connection, jobs), some)
            note_settings(connection, jobs.c.id > last)
            store_names(connection, _names(planned, ids))
        template_ids = store_templates(connection, planned)
        for member, one in zip(members, planned, strict=True):
            member["template_id"] = template_ids[one.template]
        _join_sweep(connection, [_led_to(known, member) for member in members])
        if known:
            # First, since this locks the jobs in the order of their ids.
            rank(connection, jobs.c.key.in_([row.key for row in known.values()]))
        _reorder(connection, planned, known, sweep_id=sweep.id)
    return Added(
        fresh=[one for one in planned if one.job.key not in known],
        existing=Counter(row.state for row in known.values()),
    )


def drop_absent(database: Database, sweep: Sweep) -> int:
    """Drop the jobs that an earlier revision wanted and this one does not.

    Unfinished jobs leave the sweep; jobs that were made stay. Returns how many left.
    """
    left = last = 0
    while True:
        # Step by step, so that no worker waits long for the database.
        with database.write() as connection:
            lock_producers(connection)
            gone = _absent(connection, sweep, after=last)
            if not gone:
                return left
            mine = sweep_jobs.c.sweep_id == sweep.id
            leave = sa.delete(sweep_jobs).where(mine, sweep_jobs.c.job_id.in_(gone))
            connection.execute(leave)
            rank(connection, jobs.c.id.in_(gone))
        left += len(gone)
        last = gone[-1]


def rank(connection: Connection, which: sa.ColumnElement[bool] | sa.TextClause) -> int:
    """Set jobs to the most urgent priority of the active sweeps that want them.

    The owner of that sweep pays for them. Finished jobs keep their priority, which
    means nothing. Returns how many jobs changed.
    """
    # Locked first, so that the update sees what others change in sweeps meanwhile.
    unmade = lock_jobs(connection, sa.and_(which, jobs.c.state.not_in(MADE_STATES)))
    changed = connection.execute(
        sa.update(jobs).where(unmade, _IS_CHANGED).values(priority=BEST, payer_id=PAYER)
    )
    return changed.rowcount


def find_known(
    connection: Connection, planned: Iterable[PlannedJob]
) -> dict[str, Known]:
    """Return the rows of the jobs that exist, each by the key of its job.

    A row under the job's key wins over rows under its former keys; among those, a
    finished one wins. A row under a former fingerprint belongs to this model only if
    the row's place is one of the model's.
    """
    jobs_of = {one.job.key: one for one in planned}
    known = _rows_of(connection, list(jobs_of))
    missing = [one for one in jobs_of.values() if one.former_keys]
    missing = [one for one in missing if one.job.key not in known]
    older = _rows_of(connection, [key for one in missing for key in one.former_keys])
    places = _places(connection, missing) if older else {}
    for one in missing:
        rows = [older[each] for each in one.former_keys if each in older]
        if one.job.model in places:
            rows = [row for row in rows if row.place_id in places[one.job.model]]
        if rows:
            known[one.job.key] = min(rows, key=lambda row: _PREFERRED.index(row.state))
    return known


def _places(
    connection: Connection, planned: Iterable[PlannedJob]
) -> dict[Model, Mapping[int, str]]:
    """Return the places of the models that have former fingerprints."""
    used = dict.fromkeys(one.job.model for one in planned)
    return {
        model: places_by_id(connection, model)
        for model in used
        if model.former_fingerprints
    }


def _rows_of(connection: Connection, keys: Sequence[str]) -> dict[str, Known]:
    names = ("id", "key", "state", "model_id", "scheduler_id")
    columns: list[sa.ColumnElement[Any]] = [jobs.c[name] for name in names]
    columns.append(sa.func.coalesce(results.c.place_id, jobs.c.place_id))
    columns.append(jobs.c.position)
    query = sa.select(*columns).outerjoin_from(
        jobs, results, results.c.job_id == jobs.c.id
    )
    found: dict[str, Known] = {}
    for start in range(0, len(keys), MEMBER_ROWS):
        some = jobs.c.key.in_(keys[start : start + MEMBER_ROWS])
        for row in connection.execute(query.where(some)):
            found[row.key] = Known(*row)
    return found


def _reorder(
    connection: Connection,
    planned: Iterable[PlannedJob],
    known: Mapping[str, Known],
    *,
    sweep_id: int,
) -> None:
    """Put waiting jobs that the sweep was the first to want into its order."""
    moved = [
        {"row": row.id, "place": one.place}
        for one in planned
        if (row := known.get(one.job.key))
        and row.state == "pending"
        and row.position not in (one.place, one.place + BEHIND)
    ]
    if moved:
        stays_behind = sa.case((jobs.c.position >= BEHIND, BEHIND), else_=0)
        update = (
            sa.update(jobs)
            .where(
                jobs.c.id == sa.bindparam("row"),
                jobs.c.sweep_id == sweep_id,
                jobs.c.state == "pending",
            )
            .values(position=sa.bindparam("place") + stays_behind)
        )
        # In the order of their ids, as all rows that are locked.
        connection.execute(update, sorted(moved, key=lambda each: each["row"]))


def _with_rows(
    planned: Iterable[PlannedJob], known: Mapping[str, Known]
) -> list[tuple[PlannedJob, str, Pair]]:
    """Return the jobs that exist, each with the key and the ids of its row."""
    return [
        (one, row.key, (row.model_id, row.scheduler_id))
        for one in planned
        if (row := known.get(one.job.key))
    ]


def _names(
    planned: Iterable[PlannedJob], ids: Mapping[str, Mapping[str, int]]
) -> dict[Pair, tuple[str, ...]]:
    """Return the names of the schedulers of new jobs, by the ids of their rows."""
    rows = ((one, ids[one.job.key]) for one in planned if one.job.key in ids)
    return {
        (row["model_id"], row["scheduler_id"]): one.scheduler_names for one, row in rows
    }


def _led_to(known: Mapping[str, Known], member: Mapping[str, Any]) -> Mapping[str, Any]:
    """Point a member at the row that its job has."""
    row = known.get(member["key"])
    return {**member, "key": row.key} if row and row.key != member["key"] else member


def lock_producers(connection: Connection) -> None:
    """Wait until nobody else changes the members of sweeps.

    Producers go one at a time, as on SQLite: two that change the same members or jobs
    in different orders would deadlock.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADD_LOCK)))


def _absent(connection: Connection, sweep: Sweep, *, after: int) -> list[int]:
    query = (
        sa.select(sweep_jobs.c.job_id)
        .join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        .where(
            sweep_jobs.c.sweep_id == sweep.id,
            sweep_jobs.c.job_id > after,
            sweep_jobs.c.revision < sweep.revision,
            jobs.c.state.not_in(MADE_STATES),
        )
        .order_by(sweep_jobs.c.job_id)
        .limit(MEMBER_ROWS)
    )
    return list(connection.execute(query).scalars())


def _lock_sweep(connection: Connection, sweep: Sweep) -> tuple[int | None, int]:
    """Return the priority that a sweep gives its jobs, and its owner.

    It is locked until the commit, so a command that changes it also updates the jobs
    that are added here.
    """
    columns = (sweeps.c.state, sweeps.c.priority, sweeps.c.owner_id)
    row = sa.select(*columns).where(sweeps.c.id == sweep.id)
    found = connection.execute(row.with_for_update(key_share=True)).one()
    return found.priority if found.state == "active" else None, found.owner_id


def _join_sweep(connection: Connection, members: Sequence[Mapping[str, Any]]) -> None:
    job_id = sa.select(jobs.c.id).where(jobs.c.key == sa.bindparam("key"))
    statement = insert_into(connection, sweep_jobs)
    statement = statement.values(job_id=job_id.scalar_subquery())
    renewed = ("position", "scheduler_label", "cell", "revision", "template_id")
    upsert = statement.on_conflict_do_update(
        index_elements=["sweep_id", "job_id"],
        set_={name: statement.excluded[name] for name in renewed},
        # A slower producer of an older revision overwrites nothing newer.
        where=sweep_jobs.c.revision <= statement.excluded.revision,
    )
    insert_rows(connection, upsert, members)
