"""Where the conditions of a query are looked up: a connection, and the named sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.schema import jobs, sweep_jobs

#: A condition on rows of `jobs` and `results`, and of `sweep_jobs` within one sweep.
Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What names in a query are looked up in.

    Attributes:
        connection: Names are looked up first, so that large tables are searched by
            numbers.
        sweep_id: The sweep whose memberships the rows are; None if the query names no
            sweep, or only several at a time.
        sweep_ids: Every sweep that the query names.
    """

    connection: Connection
    sweep_id: int | None = None
    sweep_ids: Sequence[int] = ()

    def ids(self, column: sa.Column[int], condition: Condition) -> list[int]:
        """Return the ids of the rows that meet a condition."""
        query = sa.select(column).where(condition).distinct()
        return list(self.connection.execute(query).scalars())

    def of_members(self, condition: Condition) -> Condition:
        """Return the condition that one of a job's memberships meets a condition.

        Only memberships in the named sweeps count, if any are named.
        """
        if self.sweep_id is not None:
            return condition
        members = sa.select(sweep_jobs.c.job_id).where(condition).correlate(None)
        if self.sweep_ids:
            members = members.where(sweep_jobs.c.sweep_id.in_(self.sweep_ids))
        return jobs.c.id.in_(members)

    def member(self, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        """Return a column of `sweep_jobs`, which is NULL unless one sweep is named."""
        return sa.null() if self.sweep_id is None else column
