"""Texts cut and broken to fit a terminal, measured in its columns."""

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from typing import TextIO

from rich.cells import cell_len, set_cell_size

#: Columns assumed for a terminal that does not know its width.
UNKNOWN = 80
#: Where a sentence may be broken: after blanks, and before the first option of
#: `DDIMScheduler(clip_sample=true)`.
_BREAKS = re.compile(r"(?<= )(?! )|(?<=\w\()(?=\w+=)")


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the columns of a terminal; None if the stream goes elsewhere.

    Args:
        stream: Standard error; None for standard output.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        return None
    own = os.terminal_size((UNKNOWN, 24))
    with suppress(OSError):  # the stream's size, since standard output may be a pipe
        own = os.get_terminal_size(stream.fileno())
    return shutil.get_terminal_size(own).columns or UNKNOWN


def shorten(text: str, width: int) -> str:
    """Cut the end of a text that is wider than `width` columns of a terminal."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1).rstrip()}…"


def shorten_middle(text: str, width: int) -> str:
    """Cut the middle of a text that is wider than `width` columns of a terminal."""
    if cell_len(text) <= width:
        return text
    end = (width - 1) // 2
    start = set_cell_size(text, width - 1 - end).rstrip()
    # Then the end, reversed, since `set_cell_size` cuts off the end of a text.
    rest = set_cell_size(text[::-1], end).strip()[::-1]
    return f"{start}…{rest}"


def fold(text: str, width: int, *, mark: str) -> list[str]:
    """Break a text into lines of at most `width`, after `mark`: ", " or a blank."""
    first, *rest = pieces_of(text, mark)
    lines = [first]
    for piece in rest:
        if widest(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


def hang(text: str, *, width: int | None, indent: int) -> list[str]:
    """Break a text at its blanks; indent all lines but the first.

    Args:
        text: One line.
        width: Columns of a line, which is longer only if a word is; None to leave the
            text unbroken.
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
    """Quote a text in a list if it could be read as several texts, or as none."""
    needs_quotes = not text or text != text.strip() or set(text) & set(',"\n')
    return json.dumps(text, ensure_ascii=False) if needs_quotes else text


def pieces_of(text: str, mark: str) -> list[str]:
    """Split a text after each `mark`; drop the blank of the mark."""
    *parts, last = text.split(mark)
    return [*(part + mark.rstrip() for part in parts), last]


def widest(*texts: str) -> int:
    """Return the columns of a terminal that the widest text takes."""
    return max(map(cell_len, texts))
