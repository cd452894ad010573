"""A query as it was read: its terms, and the errors that point into its text."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from storage.catalogue.scheduler_sets import is_glob
from storage.errors import QueryError

#: Characters of a query that an error shows.
SHOWN = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a term.

    Attributes:
        text: As written, without its quotes.
        is_quoted: Whether any of it was in quotes, so that `*` and `?` are themselves.
        start: Where it begins in the query's text.
        end: Where it ends.
        asked: What its column made of the text.
    """

    text: str
    is_quoted: bool = False
    start: int = 0
    end: int = 0
    asked: Any = None

    @property
    def is_glob(self) -> bool:
        """Return whether `*` and `?` in it stand for other characters."""
        return not self.is_quoted and is_glob(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition; any of its values meets it.

    Attributes:
        name: Of the column; empty for a word or phrase of the prompt.
        values: At least one; exactly one for a word.
        is_negated: Whether all other images are asked for.
    """

    name: str
    values: tuple[Value, ...]
    is_negated: bool = False

    @property
    def is_bare_word(self) -> bool:
        """Return whether it is a word without column, sign and quotes."""
        return not (self.name or self.is_negated or self.values[0].is_quoted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which images to find: those that meet every term.

    `storage.queries.parsing` makes it, from text or from values.

    Attributes:
        text: As it was written.
        terms: What an image must meet.
        has_references: Whether images that only distances are measured from count even
            if neither their sweep nor their key is named.
    """

    text: str = ""
    terms: tuple[Term, ...] = ()
    has_references: bool = False

    def of(self, name: str) -> Iterator[Term]:
        """Yield the terms about a column."""
        return (term for term in self.terms if term.name == name)

    def refuse(self, message: str, *, start: int, end: int) -> QueryError:
        """Return an error that shows a place in the query.

        Args:
            message: Rule, value and way out.
            start: Where the place begins in the text.
            end: Where it ends.
        """
        shown = point(self.text, start=start, end=end)
        return QueryError(f"{message}\n{shown}", start=start, end=end)


class RefusedError(Exception):
    """A value that cannot be used; `Query.refuse` shows where it is."""

    def __init__(self, message: str, value: Value) -> None:
        """Take the sentence, and the value that it is about."""
        super().__init__(message)
        self.value = value


def point(text: str, *, start: int, end: int) -> str:
    """Return two lines: a query, cut to fit, and carets under a place in it."""
    first = max(0, min(start - SHOWN // 2, len(text) - SHOWN))
    shown = "".join(each if each.isprintable() else " " for each in text)
    shown = shown[first : first + SHOWN]
    before = "…" if first else ""
    after = "…" if first + SHOWN < len(text) else ""
    marks = "^" * max(_width(shown[start - first : end - first]), 1)
    margin = " " * _width(before + shown[: start - first])
    return f"  {before}{shown}{after}\n  {margin}{marks}"


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))
