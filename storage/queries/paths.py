"""How the rows of a page are found: where to look for them, and by which index.

SQLite keeps no statistics, so it cannot know that `seed:17` is rare and `steps:20` is
not. A page is therefore looked for in the next few thousand ids first: they hold much
of it if the answer is common. As long as they do not,

- ids are skipped that cannot be in the answer (`storage.queries.zones`);
- the lists that indexes have are counted (`storage.queries.listings`), and one that is
  much shorter than what is to be looked through next is looked at instead;
- four times as many ids are looked through next.

So a page costs little more than the cheaper of both ways.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.listings import find_listings, shortest
from storage.queries.selection import Selection, unindexed
from storage.queries.zones import Zone, at_times, find_zones, skip
from storage.sql.schema import jobs

#: Ids that are looked through first, and how many times as many are next.
WINDOW = 4_000
GROWTH = 4
#: Ids that are looked through in the time of one of a list.
SPARED = 4
#: Ids of a list that is short whatever there is to look through.
SHORT = 40_000


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
    if selection.is_empty:
        return []
    search = _Search(connection, selection, size=size)
    zones = find_zones(connection, selection, after=after)
    while zones and len(search.found) < size:
        zones = search.go_on(zones)
    return search.found


def short_list(connection: Connection, selection: Selection) -> sa.Select[Any] | None:
    """Return the query of the shortest list that an index has; None for no short one.

    It has the ids of all rows of the answer, and of others.
    """
    listing = shortest(connection, [*find_listings(selection)], up_to=SHORT)
    return listing.ids() if listing else None


class _Search:
    """Looks for the rows of one page, window by window."""

    def __init__(
        self, connection: Connection, selection: Selection, *, size: int
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._size = size
        self._rows = selection.in_order()
        self._listings = [*find_listings(selection)]
        self._window = WINDOW
        self._looked = 0
        self._has_skipped = False
        self.found: list[int] = []

    def go_on(self, zones: Sequence[Zone]) -> Sequence[Zone]:
        """Look through the next window, or at a short list; return the zones left."""
        if self._is_slow():
            zones = self._skip(zones)
            if zones and self._look_at_list(zones):
                return []
        left = self._look(zones)
        self._window *= GROWTH
        return left

    def _is_slow(self) -> bool:
        """Return whether the next window would not fill the page at the rate so far."""
        found = len(self.found)
        return found * (self._looked + self._window) < self._size * self._looked

    def _skip(self, zones: Sequence[Zone]) -> Sequence[Zone]:
        start = zones[0].low
        if not self._has_skipped:
            self._has_skipped = True
            zones = at_times(self._connection, self._selection, zones)
        if zones:
            zones = skip(self._connection, self._selection, zones)
        if zones and zones[0].low > start + self._window:
            self._window = WINDOW
        return zones

    def _look_at_list(self, zones: Sequence[Zone]) -> bool:
        """Look at a short list if an index has one; return whether it has."""
        ids = min(self._window, sum(zone.size for zone in zones))
        listing = shortest(self._connection, self._listings, up_to=ids // SPARED)
        if listing is None:
            return False
        within = jobs.c.id.between(zones[0].low, zones[-1].high)
        # A sum, so that SQLite does not go through all ids to have them in order.
        rows = self._rows.order_by(None).order_by(jobs.c.id + 0)
        self._take(rows.where(*listing.sought, unindexed(within)))
        return True

    def _look(self, zones: Sequence[Zone]) -> Sequence[Zone]:
        left = self._window
        for number, zone in enumerate(zones):
            end = min(zone.low + left, zone.high + 1)
            self._take(self._rows.where(jobs.c.id >= zone.low, jobs.c.id < end))
            self._looked += end - zone.low
            left -= end - zone.low
            if not left or len(self.found) == self._size:
                rest = Zone(low=end, high=zone.high)
                return [*([rest] if rest.size else []), *zones[number + 1 :]]
        return []

    def _take(self, rows: sa.Select[Any]) -> None:
        some = rows.limit(self._size - len(self.found))
        self.found += self._connection.execute(some).scalars()
