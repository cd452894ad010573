"""The command `nightsweep list`: what there is, a line for each sweep."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import click

from producer.commands.found_images import write_csv
from producer.completion import complete_sweep
from producer.display.amounts import size
from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from producer.submission.opening import opened_to_read
from storage.errors import UsageError
from storage.jobs import sweeps
from storage.jobs.inventory import Holding, take_inventory
from storage.jobs.sweeps import Sweep
from storage.queries.names import no_such_sweep
from storage.settings import read_settings

#: Words of `--sort`, each with the field that it means.
ORDERS = {
    "name": "sweep",
    "owner": "owner",
    "state": "state",
    "images": "done",
    "failed": "failed",
    "size": "size_bytes",
    "submitted": "submitted_at",
    "last": "last_image_at",
}
#: States of sweeps that are listed only if they are asked for.
_RARE = ("cancelled", "archived")
#: Characters of a time that a table shows: to the minute.
_TO_THE_MINUTE = 16


def _read_sort(
    _context: click.Context, _parameter: click.Parameter, word: str
) -> tuple[str, bool]:
    name = word.removeprefix("-")
    if name not in ORDERS:
        msg = f"--sort must be one of {', '.join(ORDERS)}, got {word!r}."
        raise UsageError(msg)
    return ORDERS[name], word.startswith("-")


@click.command("list", epilog="Example: nightsweep list 'first-*' --sort -size")
@click.argument(
    "patterns", metavar="[NAME]...", nargs=-1, shell_complete=complete_sweep
)
@click.option(
    "--sort",
    metavar="WORD",
    default="submitted",
    callback=_read_sort,
    help=f"What to sort by: {', '.join(ORDERS)}; -size begins with the largest.",
)
@click.option(
    "--all",
    "shows_all",
    is_flag=True,
    help="Also list cancelled and archived sweeps, and references.",
)
@click.option("--csv", "form", flag_value="csv", help="Write CSV instead of text.")
@click.option(
    "--json", "form", flag_value="json", help="Write JSON lines instead of text."
)
def list_command(
    patterns: Sequence[str],
    *,
    sort: tuple[str, bool],
    shows_all: bool,
    form: str | None,
) -> None:
    """List sweeps, one a line: state, images, size on the disk, times.

    NAME is a name or a pattern such as 'first-*', and finds cancelled and archived
    sweeps, too. A sweep is `finished` if it is active and nothing of it is left to
    make. Times are UTC. `nightsweep status` says how fast sweeps under way get on.
    """
    with opened_to_read(read_settings()) as database:
        every = sweeps.list_sweeps(database, with_hidden=True)
        chosen = list(_choose(every, patterns, shows_all=shows_all))
        rows = [asdict(each) for each in take_inventory(database, chosen)]
    field, is_reversed = sort
    # None, of a sweep without images, sorts before all times.
    rows.sort(key=lambda row: (row[field] is not None, row[field]), reverse=is_reversed)
    if form == "json":
        write_json(rows)
    elif form == "csv":
        write_csv(rows, [each.name for each in fields(Holding)])
    else:
        write_table(rows, COLUMNS)
        rare = sum(each.state in _RARE for each in every if each.reference_of is None)
        if rare and not patterns and not shows_all:
            talk(f"Not listed: {rare:,} cancelled or archived; --all lists all.")


def _choose(
    every: Sequence[Sweep], patterns: Sequence[str], *, shows_all: bool
) -> Iterator[Sweep]:
    """Yield those of all sweeps that are to be listed.

    Raises:
        UsageError: No sweep has one of the names.
    """
    for pattern in patterns:
        if not any(fnmatchcase(each.name, pattern) for each in every):
            raise UsageError(no_such_sweep(pattern, [each.name for each in every]))
    for each in every:
        if _is_chosen(each, patterns, shows_all=shows_all):
            yield each


def _is_chosen(sweep: Sweep, patterns: Sequence[str], *, shows_all: bool) -> bool:
    if patterns:
        is_named = any(fnmatchcase(sweep.name, pattern) for pattern in patterns)
        # A removed sweep is shown by its name only.
        return sweep.name in patterns or (is_named and sweep.state != "removed")
    is_rare = sweep.state in _RARE or sweep.reference_of is not None
    return sweep.state != "removed" and (shows_all or not is_rare)


def _time(row: Mapping[str, Any], name: str) -> str:
    return (row[name] or "")[:_TO_THE_MINUTE].replace("T", " ")


COLUMNS = (
    Column(name="sweep", read=lambda row: row["sweep"], narrowest=12, cuts_middle=True),
    Column(name="state", read=lambda row: row["state"]),
    Column(
        name="images",
        read=lambda row: f"{row['done']:,}/{row['total']:,}",
        is_number=True,
    ),
    Column(name="failed", read=lambda row: f"{row['failed']:,}", is_number=True),
    Column(name="size", read=lambda row: size(row["size_bytes"]), is_number=True),
    Column(name="owner", read=lambda row: row["owner"] or "", is_optional=True),
    Column(
        name="submitted",
        read=partial(_time, name="submitted_at"),
        is_optional=True,
    ),
    Column(
        name="last image",
        read=partial(_time, name="last_image_at"),
        is_optional=True,
    ),
)
