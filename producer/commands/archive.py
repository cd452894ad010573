"""The commands `archive` and `unarchive`: sweeps are put away, and taken back."""

from collections.abc import Sequence

import click

from producer.commands.rm import refuse_open
from producer.completion import complete_archived
from producer.display.amounts import images
from producer.display.messages import talk
from producer.options import program, sweeps_argument
from producer.submission.opening import opened_to_write
from storage.errors import UsageError
from storage.jobs import lifecycle, sweep_counts, sweeps
from storage.jobs.sweeps import UNMADE, Sweep
from storage.settings import read_settings
from storage.sql.database import Database


@click.command(epilog="Example: nightsweep archive first-sweep")
@sweeps_argument
def archive(names: Sequence[str]) -> None:
    """Put a sweep away: lists leave it out, and nothing removes its images.

    `nightsweep list --all` and `nightsweep status NAME` still show it, and queries that
    name it still find its images. A sweep that still makes images must be cancelled
    first. `nightsweep unarchive` takes it back, as does submitting it again. Several
    names may be given.
    """
    with opened_to_write(read_settings()) as database:
        for sweep in sweeps.require_sweeps(database, names):
            _refuse(database, sweep)
            talk(_archive(database, sweep))


@click.command(epilog="Example: nightsweep unarchive first-sweep")
@click.argument(
    "names",
    metavar="NAME...",
    nargs=-1,
    required=True,
    shell_complete=complete_archived,
)
def unarchive(names: Sequence[str]) -> None:
    """Take a sweep back from the archive.

    If images of it are unmade, it is cancelled then, so that nothing is made unasked;
    `nightsweep resume` makes them. Several names may be given.
    """
    with opened_to_write(read_settings()) as database:
        for sweep in sweeps.require_sweeps(database, names):
            if sweep.state != "archived":
                msg = (
                    f"A sweep must be archived to be taken back, but {sweep.name} is "
                    f"{sweep.state}; `{program()} list --all` lists all sweeps."
                )
                raise UsageError(msg)
            state = lifecycle.take_back(database, sweep)
            talk(_say_taken_back(database, sweep, state))


def _refuse(database: Database, sweep: Sweep) -> None:
    if sweep.state == "removed":
        msg = (
            f"A sweep must have images to be archived, but {sweep.name} was removed; "
            "submit it again, or archive another one."
        )
        raise UsageError(msg)
    if sweep.reference_of is not None:
        msg = (
            "A sweep must be one that was submitted to be archived, but "
            f"{sweep.name} holds the references of another, and goes with it; archive "
            "that one."
        )
        raise UsageError(msg)
    refuse_open(database, sweep, to="be archived")


def _archive(database: Database, sweep: Sweep) -> str:
    if not lifecycle.archive(database, sweep):
        return (
            f"{sweep.name} is not archived, since somebody changed it meanwhile; look "
            f"at it with `{program()} status {sweep.name}`."
        )
    made = sweep_counts.count_states(database, sweep).get("done", 0)
    return (
        f"{sweep.name} is archived with {images(made)}: lists leave it out, and `rm` "
        f"and `prune` leave it alone; `{program()} unarchive {sweep.name}` takes it "
        "back."
    )


def _say_taken_back(database: Database, sweep: Sweep, state: str) -> str:
    counts = sweep_counts.count_states(database, sweep)
    unmade = sum(counts.get(each, 0) for each in UNMADE)
    if not unmade:
        return f"{sweep.name} is in the lists again."
    return (
        f"{sweep.name} is in the lists again, and {state}: {images(unmade)} unmade, "
        f"which `{program()} resume {sweep.name}` makes."
    )
