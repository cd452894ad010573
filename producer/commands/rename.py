"""The command `nightsweep rename`: a sweep gets another name."""

import click

from producer.completion import complete_sweep
from producer.display.amounts import images
from producer.display.messages import talk
from producer.options import program
from producer.running.sweep_state import describe_incomplete
from producer.spec.naming import with_name
from producer.spec.sweepfile import parse_name
from producer.submission.opening import opened_to_write
from storage.errors import UsageError
from storage.jobs import renaming, sweep_counts, sweeps
from storage.jobs.companions import find_companion
from storage.jobs.completeness import find_incomplete
from storage.jobs.sweeps import UNMADE, Sweep
from storage.settings import read_settings
from storage.sql.database import Database


@click.command(epilog="Example: nightsweep rename first-sweep schedulers")
@click.argument("names", metavar="OLD NEW", nargs=2, shell_complete=complete_sweep)
def rename(names: tuple[str, str]) -> None:
    """Give a sweep another name.

    Its images, scores and ratings stay as they are, and workers go on. Its sweep file
    still has the old name: change `name` there, or submitting it makes a new sweep.
    """
    old, new = names[0], parse_name(names[1])
    with opened_to_write(read_settings()) as database:
        (sweep,) = sweeps.require_sweeps(database, [old])
        _refuse(database, sweep)
        renaming.rename(database, sweep, new, spec=with_name(sweep.spec, new))
        _tell(database, sweep, new)


def _refuse(database: Database, sweep: Sweep) -> None:
    if sweep.reference_of is not None:
        msg = (
            f"References are named after their sweep, and {sweep.name} holds some; "
            "rename that sweep."
        )
        raise UsageError(msg)
    if found := find_incomplete(database, sweep):
        msg = (
            "A sweep must be stored whole to be renamed. "
            f"{describe_incomplete(sweep.name, found)}"
        )
        raise UsageError(msg)


def _tell(database: Database, sweep: Sweep, name: str) -> None:
    counts = sweep_counts.count_states(database, sweep)
    unmade = sum(counts.get(state, 0) for state in UNMADE)
    left = f", {unmade:,} of them still to be made" if unmade else ""
    talk(f"{sweep.name} is called {name} now: {images(sum(counts.values()))}{left}.")
    if companion := find_companion(database, sweep):
        talk(f"Its references are called {companion.name}.")
    talk(
        f"Write `name: {name}` in its sweep file, or submitting that makes a new sweep "
        f"called {sweep.name}; `{program()} run {name}` goes on with this one."
    )
