"""How the rows of a page are found: where to look for them, and by which index.

SQLite keeps no statistics, so it cannot know that `seed:17` is rare and `steps:20` is
not. A page is therefore looked for in the next few thousand rows first: they hold much
of it if the answer is common, and twice as many rows are looked at next. If not, an
index may have a list of rows that is short enough to look at each: the entries of every
index that fits are counted, up to a limit, and the shortest list wins. The table
`job_settings` says between which ids to look at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql import operators, visitors

from storage.queries.scope import Condition
from storage.queries.selection import Selection, columns_in
from storage.sql.schema import FAILED, job_settings, jobs, results

Ids = sa.Select[Any]

#: Ids that are looked through in the order of the answer, before twice as many are.
WINDOW = 4_000
#: A first window with less than this part of a page makes an index worth asking.
LITTLE = 1 / 8
#: Entries that make a short list.
SHORT = 40_000

_SETTINGS = (jobs.c.scheduler_id, jobs.c.steps, jobs.c.guidance, jobs.c.model_id)
#: Other columns with an index of their own, each with the id of its job.
_INDEXED = (
    (jobs.c.seed, jobs.c.id),
    (jobs.c.prompt_id, jobs.c.id),
    (results.c.total_s, results.c.job_id),
    (results.c.finished_at, results.c.job_id),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Ids between which rows of an answer can be, both included."""

    low: int
    high: int


def find_ids(
    connection: Connection, selection: Selection, *, after: int, size: int
) -> list[int]:
    """Return the ids of the next rows of an answer, in the order of submission.

    Args:
        connection: Where they are.
        selection: What they must meet.
        after: Id of the last row before them.
        size: How many; fewer are found only at the end.
    """
    search = _Search(connection, selection, size=size)
    for zone in _zones(connection, selection, after):
        search.look(zone)
        if search.is_over:
            break
    return search.found


class _Search:
    """Looks for the rows of one page, zone by zone."""

    def __init__(
        self, connection: Connection, selection: Selection, *, size: int
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._size = size
        job_id = selection.job_id
        self._rows = selection.in_order().select(job_id).order_by(job_id)
        self._window = WINDOW
        self.found: list[int] = []
        self.is_over = False

    def look(self, zone: Zone) -> None:
        """Look through a zone, or from there on by an index."""
        low = zone.low
        while low <= zone.high and not self.is_over:
            end = min(low + self._window, zone.high + 1)
            job_id = self._selection.job_id
            self._take(self._rows.where(job_id >= low, job_id < end))
            if self._window == WINDOW and len(self.found) < self._size * LITTLE:
                self._ask_index(start=end)
            low, self._window = end, 2 * self._window

    def _ask_index(self, *, start: int) -> None:
        query = _by_index(self._connection, self._selection, start=start)
        if query is not None:
            self._take(query)
            self.is_over = True

    def _take(self, query: Ids) -> None:
        some = self._connection.execute(query.limit(self._size - len(self.found)))
        self.found += some.scalars()
        self.is_over = len(self.found) == self._size


def short_list(connection: Connection, selection: Selection) -> Ids | None:
    """Return the query of the shortest list of ids that an index has; None for none."""
    counted = [(_count(connection, query), query) for query in _lists(selection)]
    few = [(count, query) for count, query in counted if count <= SHORT]
    return min(few, key=lambda each: each[0])[1] if few else None


def _by_index(
    connection: Connection, selection: Selection, *, start: int
) -> Ids | None:
    """Return the query of the rows from an id on, if an index helps; else None."""
    job_id = selection.job_id
    rows = selection.in_order().select(job_id).where(job_id >= start).order_by(job_id)
    few = short_list(connection, selection)
    if few is not None:
        return rows.where(job_id.in_(few))
    for each in _within(selection, jobs.c.seed):
        # The index has the entries of one seed in the order of the ids.
        if getattr(each, "operator", None) is operators.eq:
            by_seed = rows.where(each, jobs.c.id >= start)
            return by_seed.order_by(None).order_by(jobs.c.id)
    return None


def _zones(connection: Connection, selection: Selection, after: int) -> Sequence[Zone]:
    """Return where the rows after an id can be: in the sweep, and by their settings."""
    job_id = selection.job_id
    rows = sa.select(job_id).where(*selection.member, job_id > after)
    # Two queries in one: SQLite reads all rows for least and largest together.
    ends = (rows.order_by(each).limit(1) for each in (job_id, job_id.desc()))
    both = sa.select(*(each.scalar_subquery() for each in ends))
    low, high = connection.execute(both).one()
    if low is None:
        return []
    said = [_of_settings(each) for each in _within(selection, *_SETTINGS)]
    if not said:
        return [Zone(low=low, high=high)]
    first, last = job_settings.c.first_id, job_settings.c.last_id
    known = sa.select(first, last).where(*said, last >= low, first <= high)
    zones: list[Zone] = []
    for start, end in connection.execute(known.order_by(first)):
        zone = Zone(low=max(start, low), high=min(end, high))
        if zones and zone.low <= zones[-1].high + WINDOW:
            zone = Zone(low=zones[-1].low, high=max(zones.pop().high, zone.high))
        zones.append(zone)
    return zones


def _lists(selection: Selection) -> Iterator[Ids]:
    """Yield what each index that fits has: the ids of some more jobs than asked for."""
    said = [_of_settings(each) for each in _within(selection, *_SETTINGS)]
    if said:
        known = [job_settings.c[column.name] for column in _SETTINGS]
        meant = sa.tuple_(*_SETTINGS).in_(sa.select(*known).where(*said))
        yield _ids(jobs.c.id, meant, *_within(selection, jobs.c.seed))
    for column, job_id in _INDEXED:
        if mine := _within(selection, column):
            yield _ids(job_id, *mine)
    if selection.has_failed:
        yield _ids(jobs.c.id, FAILED)


def _ids(job_id: sa.Column[int], *conditions: sa.ColumnExpressionArgument[bool]) -> Ids:
    return sa.select(job_id).where(*conditions).correlate(None)


def _within(selection: Selection, *columns: sa.Column[Any]) -> Sequence[Condition]:
    """Return the conditions that are only about some columns."""
    return [each for each in selection.positive if columns_in(each) <= {*columns}]


def _of_settings(condition: Condition) -> Condition:
    """Return a condition on jobs as one on `job_settings`."""

    def replaced(element: Any, **_: Any) -> Any:
        is_ours = isinstance(element, sa.Column) and element.table is jobs
        return job_settings.c[element.name] if is_ours else None

    said: Condition = visitors.replacement_traverse(condition, {}, replaced)
    return said


def _count(connection: Connection, query: Ids) -> int:
    some = query.limit(SHORT + 1).subquery()
    counted = sa.select(sa.func.count()).select_from(some)
    return int(connection.execute(counted).scalar_one())
