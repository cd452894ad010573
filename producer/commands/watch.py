"""The command `nightsweep watch`: tell people what happens to sweeps."""

import os
import time
from collections.abc import Sequence

import click

from producer.completion import complete_sweep
from producer.display.messages import talk
from producer.notices.channels import Teller, read_channels, told_by
from producer.notices.events import EVENTS
from producer.notices.watching import Watched, on_option
from producer.options import program
from producer.running.sweep_state import standing
from producer.submission.opening import opened_to_read
from storage.errors import DatabaseError, UsageError
from storage.jobs import sweeps
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from storage.sql.schema import HIDDEN_STATES

#: Seconds between two looks at the database; at least ten times what a look takes.
LOOK_S = 5.0


@click.command(epilog="Example: nightsweep watch --on finished 'mail -s done me'")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_sweep)
@on_option
def watch(names: Sequence[str], *, on: Sequence[tuple[str, str]]) -> None:
    """Tell when something happens to sweeps, until nothing of them is left.

    Without NAME, all sweeps are watched. `nightsweep run` tells the same of its own
    sweep; this is for sweeps that workers elsewhere make. It reads SQL only, and makes
    nothing: what happens while it does not run is not told.
    """
    settings = read_settings()
    channels = read_channels(on, os.environ)
    if not channels:
        msg = (
            "watch must have somebody to tell, got neither --on nor NIGHTSWEEP_NOTIFY; "
            f"events are {', '.join(EVENTS)}."
        )
        raise UsageError(msg)
    with told_by(channels) as teller:
        watching = _Watching(names, settings=settings, teller=teller)
        while watching.look():
            time.sleep(max(LOOK_S, 10 * watching.took_s))
    talk("Nothing of these sweeps is left to make.")


class _Watching:
    """The sweeps that are watched; new ones join where none were named.

    Attributes:
        took_s: Seconds of the last look.
    """

    def __init__(
        self, names: Sequence[str], *, settings: Settings, teller: Teller
    ) -> None:
        self._names = names
        self._settings = settings
        self._teller = teller
        self._watched: dict[int, Watched] = {}
        self._is_waiting = False
        self.took_s = 0.0

    def look(self) -> bool:
        """Tell what is new; return whether anything is left to wait for."""
        began = time.monotonic()
        try:
            with opened_to_read(self._settings) as database:
                left = self._look(database)
        except DatabaseError as exc:
            if not self._is_waiting:
                talk(f"Waiting: {exc}")
            self._is_waiting = True
            return True
        self._is_waiting = False
        self.took_s = time.monotonic() - began
        return left

    def _look(self, database: Database) -> bool:
        is_first, left = not self._watched, False
        for sweep in self._chosen(database):
            now = standing(database, sweep)
            if sweep.id not in self._watched:
                if is_first and now.is_open:
                    talk(f"Watching {now.sweep}; `{program()} status` shows it.")
                self._watched[sweep.id] = Watched(
                    sweep, now, settings=self._settings, teller=self._teller
                )
            self._watched[sweep.id].look(database, now)
            is_over = now.state in ("cancelled", *HIDDEN_STATES)
            left = left or (now.is_open and not is_over)
        return left

    def _chosen(self, database: Database) -> Sequence[sweeps.Sweep]:
        if self._names and not self._watched:
            return sweeps.require_sweeps(database, self._names)
        if self._names:  # by whatever names they have now
            every = sweeps.list_sweeps(database, with_hidden=True)
            return [each for each in every if each.id in self._watched]
        every = sweeps.list_sweeps(database)
        return [each for each in every if each.reference_of is None]
