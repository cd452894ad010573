"""Lists of ids that an index has, and which of them is the shortest."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.selection import RATED, Selection
from storage.queries.zones import SETTING_COLUMNS, said_settings
from storage.sql.row_counts import count_rows
from storage.sql.schema import (
    FAILED,
    SETTINGS,
    job_settings,
    jobs,
    results,
    sweep_jobs,
)

#: Columns with an index of their own, each with the id of its job.
_INDEXED = (
    (jobs.c.seed, jobs.c.id),
    (jobs.c.prompt_id, jobs.c.id),
    (results.c.finished_at, results.c.job_id),
)


class Listing:
    """What an index has: the ids of some more jobs than asked for.

    Attributes:
        sought: The conditions by which the index finds them.
    """

    def __init__(
        self, job_id: sa.Column[int], *sought: sa.ColumnExpressionArgument[bool]
    ) -> None:
        """Take the column of the ids, and the conditions."""
        self.sought = sought
        self._job_id = job_id
        self._counted = self._limit = 0

    def count(self, connection: Connection, *, up_to: int) -> int:
        """Return the number of ids, but no more than `up_to`, or than is known."""
        if self._counted == self._limit < up_to:
            self._counted = count_rows(connection, self.ids(), up_to=up_to)
            self._limit = up_to
        return self._counted

    def ids(self) -> sa.Select[Any]:
        """Return the query of the ids."""
        return sa.select(self._job_id).where(*self.sought).correlate(None)


def find_listings(selection: Selection) -> Iterator[Listing]:
    """Yield what each index that fits has."""
    if selection.has_failed:
        yield Listing(jobs.c.id, FAILED)
    if selection.is_rated:
        yield Listing(jobs.c.id, jobs.c.id.in_(RATED))
    times = selection.about(jobs.c.total_s)
    if said := said_settings(selection):
        known = sa.select(*(job_settings.c[name] for name in SETTINGS)).where(*said)
        yield Listing(jobs.c.id, sa.tuple_(*SETTING_COLUMNS).in_(known), *times)
    elif times:
        yield Listing(jobs.c.id, *times)
    for column, job_id in _INDEXED:
        if some := selection.about(column):
            yield Listing(job_id, *some)
    if selection.member:
        yield Listing(sweep_jobs.c.job_id, *selection.member)


def shortest(
    connection: Connection, listings: Sequence[Listing], *, up_to: int
) -> Listing | None:
    """Return the shortest list of those with at most `up_to` ids; None for none."""
    best = None
    for listing in listings:
        count = listing.count(connection, up_to=up_to + 1)
        if count <= up_to:
            best, up_to = listing, count
    return best
