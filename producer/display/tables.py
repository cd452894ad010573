"""Text tables that fit a terminal, and are whole and without colour in a pipe."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len

from producer.display.messages import talk
from producer.display.text_width import (
    fold,
    padded,
    pieces_of,
    plain,
    shorten,
    shorten_middle,
    terminal_width,
    widest,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Characters between two columns.
COLUMN_GAP = 2
#: Rows that are laid out at a time for a pipe.
TABLE_CHUNK = 1000
#: Rows that a terminal shows if no limit is given.
TABLE_ROWS = 200
#: Width of a line that nothing is cut from.
UNCUT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        read: Returns the text for a row.
        is_number: Whether its texts are aligned right.
        narrowest: Characters to which it may be cut; None if it is never cut.
        cuts_middle: Whether texts are cut in the middle, since their ends differ.
        is_optional: Whether it is left out if a line is too short for all columns.
        folds_at: Where it may be broken into several lines, at ", " or " "; None if
            nowhere.
    """

    name: str
    read: Callable[[Mapping[str, Any]], str]
    is_number: bool = False
    narrowest: int | None = None
    cuts_middle: bool = False
    is_optional: bool = False
    folds_at: str | None = None


def text_console() -> "Console":
    """Return a console that shows users' text unchanged, and in a pipe uncut."""
    from rich.console import Console

    width = None if terminal_width() else UNCUT
    return Console(width=width, markup=False, highlight=False, emoji=False)


def write_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    """Write rows as a table, and say which columns are left out; return the count."""
    width, hidden = terminal_width(), list[str]()
    if width is not None:
        rows = list(rows)
        hidden = left_out(rows, columns, width=width)
    count = itertools.count()
    counted = (row for row, _ in zip(rows, count, strict=False))
    lines = table_lines(counted, columns, width=width)
    for heading in itertools.islice(lines, 1):
        click.secho(heading, bold=True)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()  # before what follows on standard error
    if hidden:
        talk(
            f"No room for {', '.join(hidden)}; a wider terminal, a pipe or --json has "
            "all columns."
        )
    return next(count)


def left_out(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, width: int
) -> list[str]:
    """Return the names of the columns for which a line of `width` has no room."""
    texts = {each.name: [_line(each, row) for row in rows] for each in columns}
    fitted = fit_widths(columns, texts, width=width) if rows else texts
    return [each.name for each in columns if each.name not in fitted]


def table_lines(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, width: int | None
) -> Iterator[str]:
    """Yield the lines of a table, the heading first; nothing if there is no row.

    Args:
        rows: All rows. If nothing is cut, they are read a thousand at a time, and
            columns may be wider further down.
        columns: What to show of each.
        width: Characters of a line, which is longer if too much must stay whole; None
            to cut, fold and leave out nothing.
    """
    unread, widths = iter(rows), dict[str, int]()
    while part := list(
        itertools.islice(unread, TABLE_CHUNK if width is None else None)
    ):
        texts = {each.name: [_line(each, row) for row in part] for each in columns}
        is_first, fitted = not widths, fit_widths(columns, texts, width=width or UNCUT)
        widths = {name: max(fitted[name], widths.get(name, 0)) for name in fitted}
        shown = [each for each in columns if each.name in widths]
        if is_first:
            names = [shorten(each.name, widths[each.name]) for each in shown]
            yield _joined(names, shown, widths)
        for number in range(len(part)):
            cells = [_fitted(each, texts[each.name][number], widths) for each in shown]
            for line in itertools.zip_longest(*cells, fillvalue=""):
                yield _joined(line, shown, widths)


def make_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, width: int
) -> "Text":
    """Return rows as a table with lines of `width`, for a screen of rich."""
    from rich.text import Text

    lines = list(table_lines(rows, columns, width=width))
    table = Text("\n".join(lines), no_wrap=True, overflow="ignore")
    table.stylize("bold", 0, len(lines[0]) if lines else 0)
    return table


def fit_widths(
    columns: Sequence[Column], texts: Mapping[str, Sequence[str]], *, width: int
) -> dict[str, int]:
    """Return how many characters each column gets in a line of `width`.

    Optional columns that do not fit are left out, the last first. The spare room
    then goes to the columns that may be cut or folded, again to the last first. If all
    of that is not enough, the line is longer than `width`.
    """
    natural = {each.name: widest(each.name, *texts[each.name]) for each in columns}
    widths = {each.name: _narrowest(each, texts[each.name]) for each in columns}
    for each in reversed(columns):
        if each.is_optional and _line_length(widths) > width:
            del widths[each.name]
    for name in reversed(widths):
        spare = max(width - _line_length(widths), 0)
        widths[name] = min(natural[name], widths[name] + spare)
    return widths


def _line(column: Column, row: Mapping[str, Any]) -> str:
    return plain(column.read(row))


def _fitted(column: Column, text: str, widths: Mapping[str, int]) -> list[str]:
    width = widths[column.name]
    if column.folds_at:
        return fold(text, width, mark=column.folds_at)
    return [(shorten_middle if column.cuts_middle else shorten)(text, width)]


def _joined(
    cells: Sequence[str], columns: Sequence[Column], widths: Mapping[str, int]
) -> str:
    both = zip(cells, columns, strict=True)
    line = (
        " " * (widths[column.name] - cell_len(cell)) + cell
        if column.is_number
        else padded(cell, widths[column.name])
        for cell, column in both
    )
    return (" " * COLUMN_GAP).join(line).rstrip()


def _narrowest(column: Column, texts: Sequence[str]) -> int:
    natural = widest(column.name, *texts)
    if column.folds_at:
        pieces = (each for text in texts for each in pieces_of(text, column.folds_at))
        return widest(column.name, *pieces)
    return min(natural, column.narrowest or natural)


def _line_length(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + COLUMN_GAP * (len(widths) - 1)
