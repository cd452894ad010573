"""Counts the jobs of sweeps anew while pages listen, beside the looks for changes."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gallery.reader import Reader
from gallery.site import Site
from gallery.state import Present, overlaid

#: Seconds in which a count begins with further sweeps, and the share of all time that
#: counting may take, as one part in so many.
COUNTING_S = 0.05
COUNTING_SHARE = 10

Changes = Mapping[str, Mapping[str, int]]


class SweepCounter:
    """Counts in a thread of its own: a sweep of a million jobs takes a second.

    Its methods are called by the thread that looks for changes.
    """

    def __init__(self, site: Site, reader: Reader, wake: Callable[[], None]) -> None:
        """Take the gallery, and what to call when new sweeps were counted."""
        self._site = site
        self._reader = reader
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="count")
        self._running: Future[list[dict[str, Any]]] | None = None
        self._since: dict[str, dict[str, int]] = {}
        self._counted_at: dict[str, float] = {}
        self._count_at = 0.0

    def note(self, changes: Changes) -> None:
        """Take what a look found while sweeps are counted, which the count may lack."""
        for name, states in changes.items():
            noted = self._since.setdefault(name, {})
            for state, change in states.items():
                noted[state] = noted.get(state, 0) + change

    def renewed(
        self, known: Sequence[dict[str, Any]], present: Present
    ) -> list[dict[str, Any]]:
        """Return the sweeps with what was counted meanwhile, and count on.

        A new sweep is missing until it was counted.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        found = {each["name"]: each for each in known}
        for each in overlaid({"sweeps": self._take()}, self._since, present)["sweeps"]:
            found[each["name"]] = each
        names = [each.name for each in present.sweeps]
        self._begin(names, [name for name in names if name not in found])
        return [found[name] for name in names if name in found]

    def close(self) -> None:
        """Wait until the count that runs has ended."""
        self._thread.shutdown()

    def _take(self) -> list[dict[str, Any]]:
        if not (self._running and self._running.done()):
            return []
        ended, self._running = self._running, None
        return ended.result()

    def _begin(self, names: Sequence[str], new: Sequence[str]) -> None:
        """Count new sweeps, else those that were not counted for the longest time."""
        if self._running or not names:
            return
        if not new and time.monotonic() < self._count_at:
            return
        due = new or sorted(names, key=lambda one: self._counted_at.get(one, 0.0))
        self._since = {}
        self._running = self._thread.submit(self._count, due, is_all=bool(new))
        if new:
            self._running.add_done_callback(lambda _: self._wake())

    def _count(self, names: Sequence[str], *, is_all: bool) -> list[dict[str, Any]]:
        began = time.monotonic()
        found: list[dict[str, Any]] = []
        with self._reader.opened() as database:
            for name in names:
                found += self._site.actions.standings(database, [name])
                self._counted_at[name] = time.monotonic()
                if not is_all and time.monotonic() > began + COUNTING_S:
                    break
        ended = time.monotonic()
        self._count_at = ended + COUNTING_SHARE * (ended - began)
        return found
