"""The command `nightsweep stop`: end runs in the background."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import click

from producer.completion import Words, answering
from producer.display.messages import talk
from producer.options import program
from producer.running.background import BackgroundRun, find_run, find_runs
from storage.errors import UsageError
from storage.settings import Settings, read_settings

#: Seconds between two looks whether a run has ended.
LOOK_S = 0.1


@answering
def _complete_run(_context: click.Context, typed: str) -> Words:
    runs = find_runs(read_settings())
    return [(run.sweep, "") for run in runs if run.sweep.startswith(typed)]


@click.command(epilog="Example: nightsweep stop first-sweep")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_run)
def stop(names: Sequence[str]) -> None:
    """Stop runs in the background, as Ctrl-C stops others.

    Without NAME, it stops all that `run --detach` started here. Unfinished images go
    back, and finished ones are kept. A second `stop` ends the workers at once.
    """
    settings = read_settings()
    runs = _chosen(settings, names)
    if not runs:
        talk(f"No run is in the background of {settings.home}.")
    for run in runs:
        talk(f"Stopping {run.sweep}, process {run.pid}; finished images are kept.")
        # The run that had the lock a moment ago, unless it has ended by now.
        with suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGTERM)
    for run in runs:
        while find_run(settings, run.sweep) == run:
            time.sleep(LOOK_S)
        again = f"`{program()} run {run.sweep} --detach`"
        talk(f"{run.sweep} is stopped; {again} goes on with what is left.")


def _chosen(settings: Settings, names: Sequence[str]) -> list[BackgroundRun]:
    found = {run.sweep: run for run in find_runs(settings)}
    if missing := [name for name in names if name not in found]:
        under_way = ", ".join(found) or "none is under way"
        msg = (
            f"NAME must be a sweep that a run in the background makes ({under_way}), "
            f"got {missing[0]!r}; `{program()} pause {missing[0]}` stops a sweep "
            "wherever it is made."
        )
        raise UsageError(msg)
    # Each once: a second signal would end the workers at once.
    return [found[name] for name in dict.fromkeys(names or found)]
