"""What words of a command line may become: sweeps, axes, schedulers, columns.

A shell asks the program itself, in the protocol of click
(https://click.palletsprojects.com/en/stable/shell-completion/). What fails here is
silent, since there is nowhere to say it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import wraps
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from storage.errors import NightsweepError
from storage.settings import read_settings

if TYPE_CHECKING:
    from storage.sql.database import Database

#: What a word may become, and what that is.
Words = Iterable[tuple[str, str]]
#: The answer of a parameter, in click's form.
Answer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


def answering(find: Callable[[click.Context, str], Words]) -> Answer:
    """Make the answer of a parameter from what finds words.

    Args:
        find: Gets the words of the command so far, and the one that is typed.
    """

    @wraps(find)
    def complete(
        context: click.Context, _parameter: click.Parameter, typed: str
    ) -> list[CompletionItem[str]]:
        try:
            found = list(find(context, typed))
        except NightsweepError:
            return []
        return [CompletionItem(word, help=about or None) for word, about in found]

    return complete


@contextmanager
def opened() -> Iterator["Database | None"]:
    """Yield the database; None where there is none yet."""
    # Imported only where a word is completed: all commands import this module.
    from storage.sql.database import open_for_reading

    database = open_for_reading(read_settings().database_url)
    if database is None:
        yield None
        return
    with closing(database):
        yield database


@answering
def complete_sweep(context: click.Context, typed: str) -> Words:
    """Yield sweeps, the newest first, but none that was named already."""
    return _sweeps(typed, given=context.params.get("names") or ())


@answering
def complete_archived(context: click.Context, typed: str) -> Words:
    """Yield archived sweeps, the newest first, but none that was named already."""
    given = context.params.get("names") or ()
    return _sweeps(typed, given=given, is_archived=True)


@answering
def complete_axis(_context: click.Context, typed: str) -> Words:
    """Yield the axes of all sweeps."""
    from storage.jobs.sweeps import list_sweeps

    with opened() as database:
        every = list_sweeps(database) if database else []
    axes = sorted({axis for sweep in every for axis in sweep.axes})
    return [(axis, "") for axis in axes if axis.startswith(typed)]


@answering
def complete_scheduler(_context: click.Context, typed: str) -> Words:
    """Yield the schedulers of the catalogue."""
    from storage.catalogue.schedulers import rows

    return [(row.name, row.class_name) for row in rows() if row.name.startswith(typed)]


@answering
def complete_columns(_context: click.Context, typed: str) -> Words:
    """Yield columns of queries for the last of a list with commas."""
    from storage.queries.columns import COLUMNS

    before, comma, last = typed.rpartition(",")
    sign = "-" if last.startswith("-") else ""
    for name in COLUMNS:
        if f"{sign}{name}".startswith(last):
            yield f"{before}{comma}{sign}{name}", ""


def complete_spec(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem[str]]:
    """Return stored sweeps that begin so; else the shell completes files."""
    try:
        names = list(_sweeps(typed)) if typed else []
    except NightsweepError:
        names = []
    found = [CompletionItem(name, help=about) for name, about in names]
    return found or [CompletionItem(typed, type="file")]


def _sweeps(
    typed: str, given: Sequence[str] = (), *, is_archived: bool = False
) -> Words:
    from storage.jobs.sweeps import list_sweeps

    with opened() as database:
        every = list_sweeps(database, with_hidden=is_archived) if database else []
    for sweep in reversed(every):
        if is_archived and sweep.state != "archived":
            continue
        if sweep.name.startswith(typed) and sweep.name not in given:
            yield sweep.name, sweep.state
