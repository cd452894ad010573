"""Which jobs changed their state since a moment, however many there are.

Only jobs in workers' hands, failed ones and the newest results are looked at, which
indexes hold. So a look costs little, but a job that was made between two looks, and
finished long before the newest one, is not noticed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.parsing import parse
from storage.queries.selection import compile_query
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import FAILED, HELD, jobs, results, sweep_jobs, sweeps
from storage.sql.value_pages import in_pages

#: Seconds before the newest result within which rows may still come: workers write
#: them a while after an image is finished, by their own clocks.
LATE_S = 30.0
#: Most results that one look holds.
MOST_RESULTS = 10_000
#: Columns of queries that change with a job's state: images stay in sight.
_PASSING = frozenset({"state", "error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Jobs that are neither just waiting nor long done.

    Attributes:
        states: Rows of leased, failed and quarantined jobs, each with its state.
        finished: Rows of the jobs with the newest results.
    """

    states: Mapping[int, str]
    finished: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A job that changed its state.

    Attributes:
        job_id: Its row.
        key: Its key.
        before: The state that it had, `pending` if it was not looked at then.
        after: The state that it has.
    """

    job_id: int
    key: str
    before: str
    after: str


def look(database: Database) -> Moment:
    """Return what is to be compared with a later look.

    Raises:
        DatabaseError: The database cannot be read.
    """
    in_hand = sa.select(jobs.c.id).where(HELD)
    with database.read() as connection:
        leased = dict.fromkeys(connection.execute(in_hand).scalars(), "leased")
        # Not unpacked one by one: there may be very many.
        rows = connection.execute(sa.select(jobs.c.id, jobs.c.state).where(FAILED))
        failed = dict(rows.all())
        return Moment(states=leased | failed, finished=frozenset(_newest(connection)))


def find_transitions(
    database: Database, before: Moment, now: Moment
) -> list[Transition]:
    """Return the jobs that changed between two looks, with their present states.

    Raises:
        DatabaseError: The database cannot be read.
    """
    looked_at = before.states.keys() | now.states.keys()
    other = {
        each for each in looked_at if before.states.get(each) != now.states.get(each)
    }
    other |= now.finished - before.finished
    with database.read() as connection:
        found = [
            Transition(
                job_id=row.id,
                key=row.key,
                before=before.states.get(row.id, "pending"),
                after=row.state,
            )
            for page in in_pages(sorted(other))
            for row in connection.execute(
                sa.select(jobs.c.id, jobs.c.key, jobs.c.state).where(
                    jobs.c.id.in_(page)
                )
            )
        ]
    return [one for one in found if one.before != one.after]


def select_changed(
    database: Database, query_text: str, changed: Sequence[Transition]
) -> list[Transition]:
    """Return those of changed jobs that a query means, whatever state it asks for.

    Raises:
        UsageError: The query cannot be read.
        DatabaseError: The database cannot be read.
    """
    query = _lasting(parse(query_text))
    matching: set[int] = set()
    with database.read() as connection:
        selection = compile_query(connection, query)
        for page in in_pages([one.job_id for one in changed]):
            rows = selection.select(selection.job_id)
            found = connection.execute(rows.where(selection.job_id.in_(page)))
            matching.update(found.scalars())
    return [one for one in changed if one.job_id in matching]


def count_changes(
    database: Database, changed: Sequence[Transition]
) -> dict[str, dict[str, int]]:
    """Return by how much the jobs of each state became more or fewer, by sweep.

    Raises:
        DatabaseError: The database cannot be read.
    """
    by_id = {one.job_id: one for one in changed}
    counts: dict[str, dict[str, int]] = {}
    with database.read() as connection:
        for page in in_pages([*by_id]):
            for row in connection.execute(_memberships(page)):
                states, one = counts.setdefault(row.name, {}), by_id[row.job_id]
                states[one.before] = states.get(one.before, 0) - 1
                states[one.after] = states.get(one.after, 0) + 1
    return counts


def _newest(connection: Connection) -> Iterator[int]:
    last = connection.execute(sa.select(sa.func.max(results.c.finished_at))).scalar()
    if last is None:
        return
    since = datetime.fromisoformat(last) - timedelta(seconds=LATE_S)
    rows = (
        sa.select(results.c.job_id)
        .where(results.c.finished_at >= since.isoformat(timespec="microseconds"))
        .order_by(results.c.finished_at.desc())
        .limit(MOST_RESULTS)
    )
    yield from connection.execute(rows).scalars()


def _memberships(job_ids: Collection[int]) -> sa.Select[Any]:
    return (
        sa.select(sweeps.c.name, sweep_jobs.c.job_id)
        .join(sweep_jobs, sweep_jobs.c.sweep_id == sweeps.c.id)
        .where(sweep_jobs.c.job_id.in_(job_ids))
    )


def _lasting(query: Query) -> Query:
    kept = tuple(term for term in query.terms if term.name not in _PASSING)
    return replace(query, terms=kept)
