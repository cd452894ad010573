"""Texts that fit a terminal, by the columns that they take there."""

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from typing import TextIO

from rich.cells import cell_len, set_cell_size

#: Columns of a terminal that does not know its own.
UNKNOWN = 80
#: Where a sentence may be broken: behind blanks, and before the first option of
#: `DDIMScheduler(clip_sample=true)`.
_BREAKS = re.compile(r"(?<= )(?! )|(?<=\w\()(?=\w+=)")


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
    first, *rest = pieces_of(text, mark)
    lines = [first]
    for piece in rest:
        if widest(f"{lines[-1]} {piece}") <= width:
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
    """Return a text without line breaks and control characters, fit for a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def quoted(text: str) -> str:
    """Quote a text of a list that could be taken for several, or for none."""
    needs_quotes = not text or text != text.strip() or set(text) & set(',"\n')
    return json.dumps(text, ensure_ascii=False) if needs_quotes else text


def pieces_of(text: str, mark: str) -> list[str]:
    """Divide a text behind each `mark`, which loses its blank."""
    *parts, last = text.split(mark)
    return [*(part + mark.rstrip() for part in parts), last]


def widest(*texts: str) -> int:
    """Return the columns of a terminal that the widest text takes."""
    return max(map(cell_len, texts))
