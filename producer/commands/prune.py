"""The command `nightsweep prune`: what nobody needs any more is removed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import click

from producer.commands.removing import opened_with_images, remove, yes_option
from producer.commands.rm import refuse_open
from storage.files.folders import rows_here
from storage.files.unused_inputs import UnusedInputs, find_unused_inputs
from storage.files.verification import Condition
from storage.jobs import leftovers, sweeps
from storage.jobs.leftovers import Leftovers
from storage.settings import read_settings
from storage.sql.database import Database

SECONDS_PER_DAY = 86400
#: What can be pruned.
KINDS = ("failed", "cancelled", "unwanted")


@click.command(epilog="Example: nightsweep prune failed cancelled --older-than 30")
@click.argument(
    "kinds",
    metavar=f"{'|'.join(KINDS)}...",
    nargs=-1,
    required=True,
    type=click.Choice(KINDS),
)
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1),
    metavar="DAYS",
    help="Only images made, and jobs and sweeps submitted, so many days ago.  "
    "[default: any age]",
)
@yes_option
def prune(kinds: Sequence[str], *, days: int | None, yes: bool) -> None:
    """Remove what nobody needs any more, of all sweeps.

    `failed` deletes the rows of jobs that failed; submitting their sweep again tries
    them again. `cancelled` removes cancelled sweeps, as `nightsweep rm NAME` does.
    `unwanted` removes what no sweep wants: images that a changed spec left out, or that
    only removed sweeps have, and copies of input images that no job names. It first
    says what goes, and asks.
    """
    with opened_with_images(read_settings()) as (database, folder):
        here = rows_here(database, folder)
        found = [
            each
            for kind in dict.fromkeys(kinds)
            for each in _find(database, kind, here=here, before=_moment(days))
        ]
        inputs = UnusedInputs()
        if "unwanted" in kinds:
            age_s = SECONDS_PER_DAY * (days or 0)
            inputs = find_unused_inputs(database, folder.path, age_s=age_s)
        remove(database, folder, found, inputs=inputs, is_agreed=yes)


def _find(
    database: Database, kind: str, *, here: Condition, before: str | None
) -> Iterator[Leftovers]:
    if kind == "failed":
        yield leftovers.of_failures(database, before=before)
    elif kind == "unwanted":
        yield leftovers.of_nobody(database, here=here, before=before)
    else:
        for sweep in sweeps.list_sweeps(database):
            is_old = before is None or sweep.created_at < before
            if sweep.state == "cancelled" and sweep.reference_of is None and is_old:
                refuse_open(database, sweep, to="be removed")
                yield leftovers.of_sweep(database, sweep, here=here)


def _moment(days: int | None) -> str | None:
    if days is None:
        return None
    moment = datetime.now(UTC) - timedelta(days=days)
    return moment.isoformat(timespec="microseconds")
