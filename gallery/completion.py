"""How a query that somebody types may go on, which terms it has, and what is wrong."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from gallery.query_values import find_sweeps, find_values, fitting
from storage.catalogue.pipeline_calls import PREFIX, all_parameters
from storage.errors import QueryError, UsageError
from storage.queries.column_kinds import Column
from storage.queries.columns import COLUMNS, find_column
from storage.queries.names import read_axes
from storage.queries.parsing import NAMED, parse, quote
from storage.queries.score_columns import read_metrics
from storage.queries.selection import Selection, compile_query
from storage.sql.database import Database

#: Most options of one answer.
MOST_OPTIONS = 20
#: What the value of a number or a date may begin with, besides digits.
OPERATORS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}

_QUOTED = r'"(?:[^"\\]|\\.)*(?:"|$)'
_TERM = re.compile(rf'(?:{_QUOTED}|\([^()"]*\)|[^\s"])+', re.DOTALL)
_VALUE = re.compile(rf'(?:{_QUOTED}|\([^()"]*\)|[^\s",])*', re.DOTALL)
_SIGN = re.compile(r"[!-]?")
_COLUMN = re.compile(NAMED)

Option = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The term in which the cursor is.

    Attributes:
        before: The query before the term.
        after: The query after it.
        column: Name of its column; empty in a word.
        typed: What there is of the word or the value before the cursor.
        start: Where an option replaces text from: the beginning of the term after its
            sign, or of the value if others are before it.
        end: Up to where it does.
        is_further: Whether other values of the term are before it.
    """

    before: str
    after: str
    column: str
    typed: str
    start: int
    end: int
    is_further: bool = False


def complete(database: Database, text: str, at: int) -> dict[str, Any]:
    """Return how a query may go on at a place, its terms, and what is wrong with it.

    Args:
        database: Where names and values are looked up.
        text: The query so far.
        at: Where the cursor is in it.

    Returns:
        `options` that replace the text between `from` and `to`; the `terms` up to the
        first that cannot be read; `error`, a sentence or None, and its place,
        `error_start` and `error_end`.
    """
    cursor = find_cursor(text, max(0, min(at, len(text))))
    with database.read() as connection:
        error = _refusal(connection, text)
        others = f"{cursor.before} {cursor.after}"
        query = others if _refusal(connection, others) is None else ""
        selection = compile_query(connection, query)
        options = list(_options(selection, cursor))
    return {
        "from": cursor.start,
        "to": cursor.end,
        "options": options[:MOST_OPTIONS],
        "terms": list_terms(text),
        "error": str(error).partition("\n")[0] if error else None,
        "error_start": getattr(error, "start", None),
        "error_end": getattr(error, "end", None),
    }


def list_terms(text: str) -> list[dict[str, Any]]:
    """Return the terms of a query, with their places, up to one that cannot be read."""
    readable = text
    while True:
        try:
            terms = parse(readable).terms
        except QueryError as exc:
            # Up to the last term that begins before the mistake.
            starts = [m.start() for m in _TERM.finditer(readable)]
            readable = text[: max((s for s in starts if s <= exc.start), default=0)]
        else:
            break
    found, end = list[dict[str, Any]](), 0
    for term in terms:
        start = len(text) - len(text[end:].lstrip())
        end = term.values[-1].end
        found.append({"text": text[start:end], "start": start, "end": end})
    return found


def find_cursor(text: str, at: int) -> Cursor:
    """Return the term of a query in which a place is; an empty one between terms."""
    begin = end = at
    for term in _TERM.finditer(text):
        if term.start() <= at <= term.end():
            begin, end = term.span()
            break
    before, after = text[:begin], text[end:]
    sign = _SIGN.match(text, begin, end)
    start = min(sign.end() if sign else begin, at)
    column = _COLUMN.match(text, start, end)
    if column is None or column.end() > at:
        return Cursor(
            before=before,
            after=after,
            column="",
            typed=text[start:at],
            start=start,
            end=column.end() if column else end,
        )
    first = column.end()
    value_start, value_end = _value_at(text, first, at)
    is_further = value_start > first
    return Cursor(
        before=before,
        after=after,
        column=column[1],
        typed=text[value_start:at].strip('"'),
        start=value_start if is_further else start,
        end=value_end,
        is_further=is_further,
    )


def _value_at(text: str, first: int, at: int) -> tuple[int, int]:
    """Return where the value begins and ends in which a place is."""
    start = first
    while True:
        value = _VALUE.match(text, start)
        end = value.end() if value else start
        if end >= at or text[end : end + 1] != ",":
            return start, end
        start = end + 1


def _refusal(connection: Connection, text: str) -> UsageError | None:
    try:
        compile_query(connection, text)
    except UsageError as exc:
        return exc
    return None


def _options(selection: Selection, cursor: Cursor) -> Iterator[Option]:
    if not cursor.column:
        yield from _words(selection, cursor)
        return
    column = find_column(cursor.column)
    if column is None:
        return
    try:
        found = find_values(selection, column, cursor.typed)
    except UsageError:  # a score by a metric that does not exist
        return
    lead = "" if cursor.is_further else f"{cursor.column}:"
    for each in found:
        plain = each.text if column.is_number else quote(each.text)
        yield {"text": f"{lead}{plain}", "about": each.about}
    for sign, about in _operators(column).items():
        if sign.startswith(cursor.typed):
            yield {"text": f"{lead}{sign}", "about": about}


def _operators(column: Column) -> dict[str, str]:
    has_order = column.is_number or column.form.startswith("date or range")
    anything = {"*": "any value at all"} if column.raw else {}
    return {**(OPERATORS if has_order else {}), **anything}


def _words(selection: Selection, cursor: Cursor) -> Iterator[Option]:
    """Yield sweeps where a word would name one, and columns."""
    words = cursor.before.split()
    if set(words) <= set(selection.sweep_words):
        for each in find_sweeps(selection, cursor.typed)[: MOST_OPTIONS // 2]:
            if each.text not in words:
                yield {"text": quote(each.text), "about": each.about}
    columns = dict(_columns(selection, cursor.typed))
    for name in fitting(columns, cursor.typed):
        yield {"text": f"{name}:", "about": columns[name]}


def _columns(selection: Selection, typed: str) -> Iterator[tuple[str, str]]:
    yield from ((name, column.about) for name, column in COLUMNS.items())
    for axis in read_axes(selection.scope):
        yield f"cell.{axis}", f"label on the axis {axis} of the sweep"
    for metric in read_metrics(selection.scope.connection):
        yield f"score.{metric}", f"score by the metric {metric}"
    if typed.casefold().startswith(PREFIX):
        yield from ((name, f"{name} of the pipeline") for name in all_parameters())
