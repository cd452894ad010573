"""The command `nightsweep rm`: a sweep, or the images of a query, are removed."""

import click

from producer.commands.removing import opened_with_images, remove, yes_option
from producer.display.amounts import images
from producer.options import program
from producer.query_options import QueryCommand, query_options
from storage.errors import UsageError
from storage.files.folders import rows_here
from storage.files.verification import Condition
from storage.jobs import leftovers, sweeps
from storage.jobs.leftovers import Leftovers
from storage.jobs.sweeps import Sweep
from storage.queries.answers import read_meaning
from storage.queries.selection import Selection
from storage.queries.terms import Query
from storage.settings import read_settings
from storage.sql.database import Database


@click.command(cls=QueryCommand, epilog="Example: nightsweep rm first-sweep steps:..8")
@query_options("--state")
@yes_option
def rm(query: Query, *, yes: bool) -> None:
    """Remove a sweep, or the images that a QUERY describes.

    It first says what goes, how many files and bytes, and asks. The rows of images stay
    with their scores and ratings, in the state `evicted`, so that no sweep and no
    repair makes them again; `nightsweep retry --evicted` does.

    The name of a sweep alone removes its references and the rows of images that were
    never made, too, and takes it off the list of sweeps. A sweep that still makes
    images must be cancelled first. Images that other sweeps have stay, unless the
    query names no sweep. Interrupted, the same command goes on.
    """
    with opened_with_images(read_settings()) as (database, folder):
        here = rows_here(database, folder)
        found = _find(database, query, here)
        remove(database, folder, [found], is_agreed=yes)


def _find(database: Database, query: Query, here: Condition) -> Leftovers:
    if not query.terms:
        msg = (
            f"rm must say which images, got nothing; write `{program()} rm NAME`, or "
            f"`{program()} rm QUERY`."
        )
        raise UsageError(msg)
    meaning = read_meaning(database, query)
    if len(meaning.sweep_words) > 1:
        listed = " and ".join(meaning.sweep_words)
        msg = f"rm must name one sweep, got {listed}; give each a command of its own."
        raise UsageError(msg)
    named = sweeps.require_sweeps(database, meaning.sweeps)
    for sweep in named:
        _refuse_archived(sweep)
    if not _is_sweep(meaning):
        return leftovers.of_query(database, meaning, here=here)
    (sweep,) = named
    refuse_open(database, sweep, to="be removed")
    return leftovers.of_sweep(database, sweep, here=here)


def _is_sweep(meaning: Selection) -> bool:
    return bool(meaning.member) and not meaning.conditions


def _refuse_archived(sweep: Sweep) -> None:
    if sweep.state == "archived":
        msg = (
            f"An archived sweep keeps its images, and {sweep.name} is archived; first "
            f"give `{program()} unarchive {sweep.name}`."
        )
        raise UsageError(msg)


def refuse_open(database: Database, sweep: Sweep, *, to: str) -> None:
    """Refuse to hide a sweep of which images are being made.

    Args:
        database: Where the rows are.
        sweep: The sweep.
        to: What it was to be, as words after `must be over to`.

    Raises:
        UsageError: They are, or its jobs are still being stored.
    """
    waiting, in_hand = leftovers.count_open(database, sweep)
    is_over = sweep.state in ("cancelled", "removed")
    if not is_over and (waiting or in_hand or sweep.submitting is not None):
        msg = (
            f"A sweep must be over to {to}, but {sweep.name} has "
            f"{images(waiting + in_hand)} to make; first give `{program()} cancel "
            f"{sweep.name}`."
        )
        raise UsageError(msg)
    if in_hand:
        msg = (
            f"A sweep must be in no worker's hands to {to}, but "
            f"{images(in_hand)} of {sweep.name} still are; wait a few seconds."
        )
        raise UsageError(msg)
