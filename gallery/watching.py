"""One thread that looks for changes, for all pages that listen."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gallery.counting import SweepCounter
from gallery.error_answers import say
from gallery.reader import Reader
from gallery.site import Site
from gallery.state import overlaid, read_present, read_state
from storage.errors import NightsweepError, UsageError
from storage.jobs import job_changes
from storage.jobs.job_changes import Moment, Transition
from storage.sql.schema import JOB_STATES

log = logging.getLogger(__name__)

#: Seconds between two looks while somebody listens.
LOOK_S = 0.5
#: Events that wait for a page; one that takes no more is cut off, and comes back.
MOST_WAITING = 60


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell a page."""

    name: str
    data: Any


@dataclass(eq=False, slots=True)
class Listener:
    """A page that listens.

    Attributes:
        query: Whose images it shows; None for none.
        shows_sweeps: Whether it shows how far sweeps are. To others a state is only the
            sign that the server can read the database.
        events: What it is to be told; None at the end.
        loop: Where it waits.
    """

    query: str | None
    shows_sweeps: bool
    loop: asyncio.AbstractEventLoop
    events: "asyncio.Queue[Event | None]" = field(default_factory=asyncio.Queue)

    def tell(self, event: Event | None) -> None:
        """Add an event, from any thread."""
        with suppress(RuntimeError):  # the server has ended meanwhile
            self.loop.call_soon_threadsafe(self._add, event)

    def _add(self, event: Event | None) -> None:
        is_full = self.events.qsize() >= MOST_WAITING
        self.events.put_nowait(None if is_full else event)


class Watcher:
    """Looks for changes while somebody listens, and tells everybody.

    All methods may be called from any thread.
    """

    def __init__(self, site: Site, reader: Reader) -> None:
        """Take the gallery; nothing is looked at until somebody listens."""
        self._site = site
        self._reader = reader
        self._lock = threading.Lock()
        self._look_now = threading.Event()
        self._listeners: set[Listener] = set()
        self._thread: threading.Thread | None = None

    def join(self, listener: Listener) -> None:
        """Begin to tell a page of changes; the present state comes first."""
        with self._lock:
            self._listeners.add(listener)
            self._look_now.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="watch", daemon=True
                )
                self._thread.start()

    def leave(self, listener: Listener) -> None:
        """Tell a page nothing more."""
        with self._lock:
            self._listeners.discard(listener)
            self._look_now.set()

    def end_streams(self) -> None:
        """End what every page listens to, so that the server can end."""
        with self._lock:
            listeners = [*self._listeners]
        for each in listeners:
            each.tell(None)

    def wait(self) -> None:
        """Wait until nobody listens and the thread has ended."""
        if thread := self._thread:
            thread.join()

    def _run(self) -> None:
        looks = _Looks(self._site, self._reader, self._look_now.set)
        while True:
            with self._lock:
                if not self._listeners:
                    self._thread = None
                    break
                self._look_now.clear()
                listeners = [*self._listeners]
            try:
                looks.tell(listeners)
            except NightsweepError as exc:
                looks.tell_trouble(listeners, say(exc, self._site.settings))
            except Exception:
                log.exception("a look failed", extra={"action": "look_failed"})
            self._look_now.wait(LOOK_S)
        looks.close()


class _Looks:
    """What was seen last, and who was told of it."""

    def __init__(self, site: Site, reader: Reader, wake: Callable[[], None]) -> None:
        self._site = site
        self._reader = reader
        self._counter = SweepCounter(site, reader, wake)
        self._moment: Moment | None = None
        self._state: dict[str, Any] = {"sweeps": [], "workers": []}
        self._is_whole = False
        self._told: dict[Listener, object] = {}

    def tell(self, listeners: Iterable[Listener]) -> None:
        """Look, and tell each page what is new to it."""
        here = set(listeners)
        self._told = {one: state for one, state in self._told.items() if one in here}
        changed = self._look(counts=any(each.shows_sweeps for each in here))
        by_query: dict[str, list[Transition]] = {}
        for each in here:
            if changed and each.query is not None:
                if each.query not in by_query:
                    by_query[each.query] = self._select(each.query, changed)
                if found := by_query[each.query]:
                    each.tell(_images(found))
            state = self._state if each.shows_sweeps else {}
            is_known = self._is_whole or not each.shows_sweeps
            if is_known and self._told.get(each) != state:
                each.tell(Event("state", state))
                self._told[each] = state

    def tell_trouble(self, listeners: Iterable[Listener], sentence: str) -> None:
        """Tell each page once that nothing can be seen; the state follows after it."""
        for each in listeners:
            if self._told.get(each) != sentence:
                each.tell(Event("trouble", {"error": sentence}))
                self._told[each] = sentence

    def close(self) -> None:
        """Leave nothing running."""
        self._counter.close()

    def _look(self, *, counts: bool) -> list[Transition]:
        """Renew the state; return the jobs that changed since the look before."""
        if not self._reader.exists():
            self._state = read_state(self._site, self._reader)
            self._is_whole = True
            return []
        with self._reader.opened() as database:
            now = job_changes.look(database)
            before = self._moment or now
            changed = job_changes.find_transitions(database, before, now)
            changes = job_changes.count_changes(database, changed) if changed else {}
            present = read_present(database)
        self._counter.note(changes)
        known = overlaid(self._state, changes, present)
        sweeps = known["sweeps"]
        if counts:
            sweeps = self._counter.renewed(sweeps, present)
        self._state = {**known, "sweeps": sweeps}
        self._is_whole = len(sweeps) == len(present.sweeps)
        self._moment = now
        return changed

    def _select(self, query: str, changed: list[Transition]) -> list[Transition]:
        try:
            with self._reader.opened() as database:
                return job_changes.select_changed(database, query, changed)
        except UsageError:  # a name in it is gone
            return []


def _images(changed: Iterable[Transition]) -> Event:
    some = [*changed]
    return Event(
        "images",
        {
            "keys": [one.key for one in some],
            "states": [JOB_STATES.index(one.after) for one in some],
        },
    )
