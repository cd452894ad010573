"""One sweep, watched: what happens to it is told."""

from collections.abc import Callable
from typing import Any

import click

from producer.notices.channels import Teller
from producer.notices.events import EVENTS, Events, describe_space, stopped
from producer.running.sweep_state import Standing
from storage.files.images import free_bytes
from storage.jobs.sweep_counts import mean_image_bytes
from storage.jobs.sweeps import Sweep
from storage.settings import Settings
from storage.sql.database import Database


def on_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--on` to a command, which gets it as `on`."""
    return click.option(
        "--on",
        type=(click.Choice(tuple(EVENTS)), str),
        multiple=True,
        metavar="EVENT COMMAND",
        help=f"When it happens, run COMMAND, with $NIGHTSWEEP_MESSAGE, _EVENT and "
        f"_SWEEP. EVENT is one of {', '.join(EVENTS)}. Repeatable; the variable "
        "NIGHTSWEEP_NOTIFY tells every event to a phone.",
    )(command)


class Watched:
    """Tells what happens to one sweep from now on."""

    def __init__(
        self,
        sweep: Sweep,
        first: Standing,
        *,
        settings: Settings,
        teller: Teller,
    ) -> None:
        """Begin with how far it is; that is no news."""
        self._sweep = sweep
        self._settings = settings
        self._teller = teller
        self._events = Events(first)

    def look(self, database: Database, now: Standing) -> None:
        """Tell what began since the last look."""
        self._teller.tell(self._events.look(now, self._space(database, now)))

    def stop(self, now: Standing) -> None:
        """Tell that the command ends before the sweep does."""
        self._teller.tell([stopped(now)])

    def _space(self, database: Database, now: Standing) -> str:
        folder = self._settings.image_folder
        if not folder or not now.unmade or not self._teller.wants("disk"):
            return ""
        return describe_space(
            now,
            free_bytes=free_bytes(folder),
            image_bytes=mean_image_bytes(database, self._sweep),
        )
