"""Between which ids the rows of an answer can be.

The table `job_settings` says where the jobs of each combination of settings are. Some
conditions have an index whose entries come in the order of the ids: its next entry says
that no row before it is in the answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql import visitors

from storage.queries.scope import Condition
from storage.queries.selection import Selection
from storage.sql.row_counts import count_rows
from storage.sql.schema import SETTINGS, job_settings, jobs, sweep_jobs

#: Zones with fewer ids between them are one.
GAP = 4_000
#: Most combinations of settings of which each is asked for its times.
MOST_SETTINGS = 5_000

SETTING_COLUMNS = tuple(jobs.c[name] for name in SETTINGS)

#: The ids of an index in their order, in parts; a row is in one of them.
Stream = Sequence[tuple[sa.Column[int], Condition]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Ids from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def size(self) -> int:
        """Return the number of ids."""
        return self.high + 1 - self.low


def find_zones(
    connection: Connection, selection: Selection, *, after: int
) -> Sequence[Zone]:
    """Return where rows after an id can be: in the sweep, and by their settings."""
    job_id = selection.job_id
    rows = sa.select(job_id).where(*selection.member, job_id > after)
    # Two queries in one: SQLite reads all rows for least and largest together.
    ends = (rows.order_by(each).limit(1) for each in (job_id, job_id.desc()))
    both = sa.select(*(each.scalar_subquery() for each in ends))
    low, high = connection.execute(both).one()
    if low is None:
        return []
    zone = Zone(low=low, high=high)
    said = said_settings(selection)
    return _of_settings(connection, zone, *said) if said else [zone]


def at_times(
    connection: Connection, selection: Selection, zones: Sequence[Zone]
) -> Sequence[Zone]:
    """Return the parts of zones with settings whose jobs took the times asked for."""
    times = selection.about(jobs.c.total_s)
    if not times:
        return zones
    known = sa.select(job_settings.c.first_id)
    if count_rows(connection, known, up_to=MOST_SETTINGS + 1) > MOST_SETTINGS:
        return zones
    same = (column == job_settings.c[column.name] for column in SETTING_COLUMNS)
    took = sa.select(jobs.c.id).where(*same, *times).correlate(job_settings).exists()
    within = Zone(low=zones[0].low, high=zones[-1].high)
    return _of_settings(connection, within, *said_settings(selection), took)


def skip(
    connection: Connection, selection: Selection, zones: Sequence[Zone]
) -> Sequence[Zone]:
    """Return the zones from the id on before which no row is, as some indexes say."""
    streams = [*_streams(selection)]
    if not streams:
        return zones
    low = zones[0].low
    nexts = [_next(part, low) for stream in streams for part in stream]
    found = iter(connection.execute(sa.select(*nexts)).one())
    for stream in streams:
        some = [each for _ in stream if (each := next(found)) is not None]
        if not some:
            return []
        low = max(low, min(some))
    left = (zone for zone in zones if zone.high >= low)
    return [Zone(low=max(zone.low, low), high=zone.high) for zone in left]


def said_settings(selection: Selection) -> Sequence[Condition]:
    """Return the conditions on the settings of jobs, as some on `job_settings`."""

    def replaced(element: Any, **_: Any) -> Any:
        is_ours = isinstance(element, sa.Column) and element.table is jobs
        return job_settings.c[element.name] if is_ours else None

    return [
        visitors.replacement_traverse(each, {}, replaced)
        for each in selection.about(*SETTING_COLUMNS)
    ]


def _streams(selection: Selection) -> Iterator[Stream]:
    for each in selection.member:
        yield [(sweep_jobs.c.job_id, each)]
    if selection.seeds:
        yield [(jobs.c.id, jobs.c.seed == seed) for seed in selection.seeds]
    if selection.is_undone:
        yield [(jobs.c.id, jobs.c.total_s.is_(None))]


def _next(part: tuple[sa.Column[int], Condition], low: int) -> sa.ScalarSelect[int]:
    job_id, condition = part
    rows = sa.select(job_id).where(condition, job_id >= low)
    return rows.order_by(job_id).limit(1).scalar_subquery()


def _of_settings(
    connection: Connection, within: Zone, *said: Condition
) -> Sequence[Zone]:
    """Return where in a zone the jobs are that have some settings."""
    first, last = job_settings.c.first_id, job_settings.c.last_id
    is_near = (last >= within.low, first <= within.high)
    known = sa.select(first, last).where(*said, *is_near).order_by(first)
    zones: list[Zone] = []
    for start, end in connection.execute(known):
        zone = Zone(low=max(start, within.low), high=min(end, within.high))
        if zones and zone.low <= zones[-1].high + GAP:
            zone = Zone(low=zones[-1].low, high=max(zones.pop().high, zone.high))
        zones.append(zone)
    return zones
