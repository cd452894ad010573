"""Groups with runnable jobs, and whose these jobs are.

Nothing here reads all jobs of a group or of an owner: each query takes the first row of
the next ones in the index of runnable jobs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import backend_of
from storage.jobs.fair_shares import read_shares, slices_ahead
from storage.jobs.quotas import find_spent
from storage.sql.database import Database
from storage.sql.schema import RUNNABLE, jobs

#: Behind the positions of all jobs.
_LAST_POSITION = 2**63 - 1
#: Behind the slices of all groups that quotas allow to make.
_LAST_SLICE = 2**31
#: The order in which the index of runnable jobs has the jobs of a group.
IN_ORDER = (jobs.c.priority, jobs.c.payer_id, jobs.c.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A batch group with runnable jobs.

    Attributes:
        key: Its name, `Job.group`.
        priority: The priority of its most urgent job, from 0, first, to 9, last.
        kind: Row of the model, and dtype: what stays resident from job to job.
        slices: How far the owner of its next jobs is ahead of the owner that comes
            first, in whole slices of GPU time; 0 unless `compare_owners` said so. A
            group comes last if its next jobs wait for quotas.
    """

    key: str
    priority: int
    kind: tuple[int, str]
    slices: int = 0

    @property
    def backend(self) -> str:
        """What its workers paint with."""
        return backend_of(self.key)


def groups_of(database: Database, keys: Sequence[str]) -> set[str]:
    """Return the batch groups of the jobs among `keys` that have a row."""
    query = sa.select(jobs.c.group_key).where(jobs.c.key.in_(keys)).distinct()
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def runnable_groups(database: Database, backend: str | None = None) -> list[Group]:
    """Return every group with runnable jobs, by one small query for each group.

    Args:
        database: Where the jobs are.
        backend: The back end whose groups are meant; None for all.
    """
    found: list[Group] = []
    with database.read() as connection:
        while row := _next_group(connection, found[-1].key if found else ""):
            kind = (row.model_id, row.dtype)
            found.append(Group(key=row.group_key, priority=row.priority, kind=kind))
    return [group for group in found if backend in (None, group.backend)]


def compare_owners(database: Database, groups: Sequence[Group]) -> list[Group]:
    """Return groups with their slices; those of other priorities have none.

    A group is left out as long as the quotas of all its owners are spent.

    Args:
        database: Where the jobs are.
        groups: As `runnable_groups` returns them. Only the most urgent are compared.
    """
    with database.read() as connection:
        spent = find_spent(connection)
        if spent:
            groups = [each for each in groups if _has_other(connection, each, spent)]
    first = min((group.priority for group in groups), default=0)
    equal = [group.key for group in groups if group.priority == first]
    if len(equal) < 2:
        return list(groups)
    with database.read() as connection:
        # A group may have run out of jobs meanwhile.
        payers = {key: _first_payers(connection, key) for key in equal}
        payers = {key: some for key, some in payers.items() if some}
        if len({each for some in payers.values() for each in some}) < 2:
            return list(groups)
        able = {key: set(some) - spent for key, some in payers.items()}
        able = {key: some for key, some in able.items() if some}
        slices = slices_ahead(read_shares(connection), able)
    slices |= {key: _LAST_SLICE for key in payers if key not in able}
    return [replace(group, slices=slices.get(group.key, 0)) for group in groups]


def levels(
    connection: Connection, wanted: sa.ColumnElement[bool]
) -> Iterator[tuple[int, list[int]]]:
    """Yield the priorities of runnable jobs, and whose jobs have each.

    It takes a small query for each owner, which looks for the next one in the index.
    """
    place = sa.tuple_(*IN_ORDER)
    query = sa.select(jobs.c.priority, jobs.c.payer_id).where(wanted, RUNNABLE)
    query = query.order_by(*IN_ORDER).limit(1)
    row = connection.execute(query).first()
    while row:
        priority, payers = row.priority, list[int]()
        while row and row.priority == priority:
            payers.append(row.payer_id)
            # With the position, else SQLite would read all jobs of this owner.
            after = place > (row.priority, row.payer_id, _LAST_POSITION)
            row = connection.execute(query.where(after)).first()
        yield priority, payers


def _has_other(connection: Connection, group: Group, spent: set[int]) -> bool:
    """Return whether a group has jobs of owners whose quota is not spent."""
    found = levels(connection, jobs.c.group_key == group.key)
    return any(set(payers) - spent for _, payers in found)


def _first_payers(connection: Connection, group: str) -> list[int]:
    """Return whose jobs are the most urgent of a group."""
    found = levels(connection, jobs.c.group_key == group)
    return next(found, (0, []))[1]


def _next_group(connection: Connection, last: str) -> Any:
    # The index is sorted by group, and within a group the most urgent comes first.
    query = (
        sa.select(jobs.c.group_key, jobs.c.priority, jobs.c.model_id, jobs.c.dtype)
        .where(jobs.c.group_key > last, RUNNABLE)
        .order_by(jobs.c.group_key, *IN_ORDER)
        .limit(1)
    )
    return connection.execute(query).first()
