"""The screen of `status --watch` on a terminal."""

import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from producer.commands.status_screen import choose
from producer.dashboard.full_screen import full_screen
from producer.dashboard.view import (
    Failures,
    Message,
    Paces,
    Reasons,
    View,
    notes,
    troubles,
)
from producer.running.backends import describe_unserved, find_unserved
from producer.running.sweep_state import Standing, standing
from producer.submission.opening import opened_to_read
from storage.errors import DatabaseError
from storage.fleet.live_counts import LiveCounts
from storage.fleet.progress import list_workers
from storage.host.worker_ids import host_of
from storage.jobs import sweep_counts, sweeps
from storage.jobs.claims import leased_owners
from storage.jobs.sweeps import Sweep
from storage.settings import Settings, read_settings
from storage.sql.database import Database

#: Seconds between two looks at the database; at least ten times what a look takes.
REFRESH_S = 2.0
#: Sweeps that are looked at closely; no screen has more lines.
MOST_SWEEPS = 100


def watch_screen(names: Sequence[str]) -> None:
    """Show sweeps and workers on the whole terminal until Ctrl-C.

    Args:
        names: The sweeps; all if there are none.

    Raises:
        UsageError: There is no such sweep, or none yet.
    """
    watching = Watching(names, read_settings())
    view = _look(watching, View(at=_now(), sweeps=()))
    with suppress(KeyboardInterrupt), full_screen(sys.stdout) as screen:
        while True:
            screen.show(view)
            screen.wait(max(REFRESH_S, 10 * watching.took_s))
            view = _look(watching, view)


class Watching:
    """Looks at sweeps and workers again and again.

    Attributes:
        took_s: Seconds of the last look.
    """

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        """Look at nothing yet; `names` are as in `watch_screen`."""
        self._names = names
        self._settings = settings
        self._counts = LiveCounts()
        self._paces = Paces()
        self._failures = Failures()
        #: By sweep, how many jobs had failed when the reasons were read.
        self._reasons: dict[str, tuple[int, Reasons]] = {}
        self.took_s = 0.0

    def look(self) -> View:
        """Return what there is to see now.

        Raises:
            UsageError: There is no such sweep, or none yet.
            DatabaseError: The database cannot be read.
        """
        began = time.monotonic()
        # Opened anew: a database opened while nobody wrote shows no change.
        with opened_to_read(self._settings) as database:
            view = self._look(database)
        self.took_s = time.monotonic() - began
        return view

    def _look(self, database: Database) -> View:
        counts = self._counts.look(database)
        top, rest = self._choose(database, counts)
        workers = list_workers(database)
        standings = [standing(database, one, counts.get(one.id, {})) for one in top]
        leased = sweep_counts.count_leased(database)
        others = Counter[str]()
        for one in rest:
            others.update(counts.get(one.id, {}))
        at = _now()
        return View(
            at=at,
            sweeps=self._paces.look(standings, workers, leased=leased),
            others=len(rest),
            others_by_state=others,
            workers=workers,
            hosts=set(map(host_of, leased_owners(database))) if not workers else (),
            messages=[
                *self._failures.look(self._find_reasons(database, top, standings), at),
                *troubles(workers),
                *(Message(text=describe_unserved(b)) for b in find_unserved(database)),
                *notes(standings),
            ],
        )

    def _choose(
        self, database: Database, counts: Mapping[int, Mapping[str, int]]
    ) -> tuple[Sequence[Sweep], Sequence[Sweep]]:
        if self._names:
            top, rest = sweeps.require_sweeps(database, self._names), list[Sweep]()
        else:
            top, rest = choose(sweeps.list_sweeps(database), counts)
        rest = [one for one in rest if one.state != "cancelled"]
        return top[:MOST_SWEEPS], [*top[MOST_SWEEPS:], *rest]

    def _find_reasons(
        self,
        database: Database,
        top: Collection[Sweep],
        standings: Collection[Standing],
    ) -> dict[str, Reasons]:
        """Return the reasons for failures; read only those of sweeps with more."""
        for one, now in zip(top, standings, strict=True):
            failed = now.failed + now.quarantined
            if self._reasons.get(one.name, (0, ()))[0] != failed:
                found = sweep_counts.failures(database, one) if failed else ()
                self._reasons[one.name] = failed, found
        return {one.name: self._reasons.get(one.name, (0, ()))[1] for one in top}


def _look(watching: Watching, before: View) -> View:
    """Return what there is to see, or during an outage the view before, and why."""
    try:
        return watching.look()
    except DatabaseError as exc:
        return replace(before, at=_now(), trouble=str(exc))


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
