"""Tables of text: they fit a terminal, and are whole and without colour in a pipe."""

import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Characters between two columns.
GAP = 2
#: Rows of a pipe that are put in columns at a time.
CHUNK = 1000
#: Columns of a terminal that does not know its own.
UNKNOWN = 80
#: Width of a line that nothing is cut from.
UNCUT = 1_000_000
#: Where a sentence may be broken: behind blanks, and before the first option of
#: `DDIMScheduler(clip_sample=true)`.
_BREAKS = re.compile(r"(?<= )(?! )|(?<=\w\()(?=\w+=)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        read: Gives the text of a row.
        is_number: Whether it stands at the right.
        narrowest: Characters to which it may be cut; None where it never is.
        cuts_middle: Whether it is cut in the middle, since its end tells it apart.
        is_optional: Whether it goes where the line is too short for all.
        folds_at: What it may be broken at into several lines, ", " or " "; None where
            it may not.
    """

    name: str
    read: Callable[[Mapping[str, Any]], str]
    is_number: bool = False
    narrowest: int | None = None
    cuts_middle: bool = False
    is_optional: bool = False
    folds_at: str | None = None


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the columns of a terminal; None where a stream goes elsewhere.

    Args:
        stream: Standard error; None for standard output.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    own = os.terminal_size((UNKNOWN, 24))
    with suppress(OSError):  # its own, since standard output may go into a pipe
        own = os.get_terminal_size(stream.fileno())
    return shutil.get_terminal_size(own).columns or UNKNOWN


def text_console() -> "Console":
    """Return a console that shows the text of users as it is, and in a pipe uncut."""
    from rich.console import Console

    width = None if terminal_width() else UNCUT
    return Console(width=width, markup=False, highlight=False, emoji=False)


def write_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    """Write rows as a table; return how many they were."""
    count = itertools.count()
    counted = (row for row, _ in zip(rows, count, strict=False))
    lines = table_lines(counted, columns, width=terminal_width())
    for heading in itertools.islice(lines, 1):
        click.secho(heading, bold=True)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return next(count)


def table_lines(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, width: int | None
) -> Iterator[str]:
    """Return the lines of a table, the heading first; none where there is no row.

    Args:
        rows: All of them. Where nothing is cut they are read a thousand at a time, and
            columns may be wider further down.
        columns: What to show of each.
        width: Characters of a line, which is longer where too much must stay whole;
            None where nothing is cut, folded or left out.
    """
    unread, widths = iter(rows), dict[str, int]()
    while part := list(itertools.islice(unread, CHUNK if width is None else None)):
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
    """Return rows as a table that fits into a line of `width`, for a screen of rich."""
    from rich.text import Text

    lines = list(table_lines(rows, columns, width=width))
    table = Text("\n".join(lines), no_wrap=True, overflow="ignore")
    table.stylize("bold", 0, len(lines[0]) if lines else 0)
    return table


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
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1).rstrip()}…"


def shorten_middle(text: str, width: int) -> str:
    """Cut a text in the middle that is wider than `width` columns of a terminal."""
    if cell_len(text) <= width:
        return text
    end = (width - 1) // 2
    start = set_cell_size(text, width - 1 - end).rstrip()
    # Of the end, as many columns; read backwards, since one is cut off at its end.
    rest = set_cell_size(text[::-1], end).strip()[::-1]
    return f"{start}…{rest}"


def fold(text: str, width: int, *, mark: str) -> list[str]:
    """Break a text into lines of at most `width`, behind `mark`: ", " or a blank."""
    first, *rest = _pieces(text, mark)
    lines = [first]
    for piece in rest:
        if _widest(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


def hang(text: str, *, width: int | None, indent: int) -> list[str]:
    """Break a text at its blanks; lines below the first stand `indent` columns back.

    Args:
        text: One line.
        width: Columns of a line, which is longer where a word is; None where the text
            is not broken.
        indent: Columns; half a line at the most.
    """
    if width is None:
        return [text]
    margin, lines = " " * min(indent, width // 2), [""]
    for piece in _BREAKS.split(text):
        if not lines[-1].strip() or cell_len((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
        else:
            lines.append(margin + piece)
    return [line.rstrip() for line in lines]


def padded(text: str, width: int) -> str:
    """Fill a text with blanks up to `width` columns of a terminal."""
    return text + " " * (width - cell_len(text))


def plain(text: str) -> str:
    """Give a text without line breaks and control characters, fit for a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def quoted(text: str) -> str:
    """Quote a text of a list that could be taken for several, or for none."""
    needs_quotes = not text or text != text.strip() or set(text) & set(',"\n')
    return json.dumps(text, ensure_ascii=False) if needs_quotes else text


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
    return (" " * GAP).join(line).rstrip()


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
    return max(map(cell_len, texts))


def _line_length(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)
