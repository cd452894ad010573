"""What commands print: tables for people, JSON lines for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

#: Characters between two columns.
GAP = 2

#: The option that every command with rows has; its argument is `as_json`.
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write JSON lines.  [default: where the output is no terminal]",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        read: Gives the text of a row.
        is_number: Whether it stands at the right.
        narrowest: Characters to which it may be cut; None where it never is.
        is_optional: Whether it goes where the line is too short for all.
        folds_at: What it may be broken at into several lines, ", " or " "; None where
            it may not.
    """

    name: str
    read: Callable[[Mapping[str, Any]], str]
    is_number: bool = False
    narrowest: int | None = None
    is_optional: bool = False
    folds_at: str | None = None


def wants_json(*, asked: bool) -> bool:
    """Tell whether the output is for a program: it was asked for, or piped."""
    return asked or not sys.stdout.isatty()


def write_json(rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as JSON, one a line, as they come; give how many they were."""
    count = 0
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count


def write_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    console: "Console | None" = None,
) -> None:
    """Write rows as a table that fits the width of the terminal.

    Args:
        rows: All of them.
        columns: What to show of each.
        console: Where to; by default the standard output.
    """
    # Imported here: programs get JSON, and need no rich.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text of users is shown as it is: no markup, no emoji names.
    out = console or Console(markup=False, highlight=False, emoji=False)
    texts = {each.name: [_line(each, row) for row in rows] for each in columns}
    widths = fit_widths(columns, texts, width=out.width)
    # Too long a line goes on at the terminal's edge: what is to be copied stays whole.
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        width=max(_line_length(widths), 1),
    )
    shown = [each for each in columns if each.name in widths]
    for each in shown:
        table.add_column(
            each.name, justify="right" if each.is_number else "left", no_wrap=True
        )
    for number in range(len(rows)):
        cells = (_fitted(each, texts[each.name][number], widths) for each in shown)
        table.add_row(*map(Text, cells))
    out.print(table, crop=False)


def fit_widths(
    columns: Sequence[Column], texts: Mapping[str, Sequence[str]], *, width: int
) -> dict[str, int]:
    """Give the characters that each column has in a line of `width`.

    Optional columns that do not fit are left out, the last first. What is spare then
    goes to the columns that may be cut or folded, again to the last first. Where all
    of that is not enough, the line is longer than `width`.
    """
    natural = {each.name: _widest(each.name, *texts[each.name]) for each in columns}
    widths = {each.name: _narrowest(each, texts[each.name]) for each in columns}
    for each in reversed(columns):
        if each.is_optional and _line_length(widths) > width:
            del widths[each.name]
    for name in reversed(widths):
        spare = max(width - _line_length(widths), 0)
        widths[name] = min(natural[name], widths[name] + spare)
    return widths


def shorten(text: str, width: int) -> str:
    """Cut the end of a text that is wider than `width` columns of a terminal."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1).rstrip()}…"


def fold(text: str, width: int, *, mark: str) -> str:
    """Break a text into lines of at most `width`, behind `mark`: ", " or a blank."""
    first, *rest = _pieces(text, mark)
    lines = [first]
    for piece in rest:
        if _widest(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return "\n".join(lines)


def plain(text: str) -> str:
    """Give a text without line breaks and control characters, fit for a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def _line(column: Column, row: Mapping[str, Any]) -> str:
    return plain(column.read(row))


def _fitted(column: Column, text: str, widths: Mapping[str, int]) -> str:
    width = widths[column.name]
    if column.folds_at:
        return fold(text, width, mark=column.folds_at)
    return shorten(text, width)


def _narrowest(column: Column, texts: Sequence[str]) -> int:
    natural = _widest(column.name, *texts)
    if column.folds_at:
        pieces = (each for text in texts for each in _pieces(text, column.folds_at))
        return _widest(column.name, *pieces)
    return min(natural, column.narrowest or natural)


def _pieces(text: str, mark: str) -> list[str]:
    *parts, last = text.split(mark)
    return [*(part + mark.rstrip() for part in parts), last]


def _widest(*texts: str) -> int:
    """Give the columns of a terminal that the widest text takes."""
    from rich.cells import cell_len

    return max(map(cell_len, texts))


def _line_length(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)
