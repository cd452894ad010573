"""Kinds of columns: how each reads its values, and which rows have one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.queries.scope import Condition, Scope
from storage.queries.terms import Value
from storage.queries.values import ANYTHING, Span
from storage.sql.extras import value_of, value_of_control
from storage.sql.schema import jobs, prompts
from storage.sql.searching import contains, matches

Expression = sa.ColumnElement[Any]
#: Returns the raw value of a row: what rows are grouped by.
Raw = Callable[[Scope], Expression]
#: Returns the condition that a row has one of the values.
Where = Callable[[Scope, Sequence[Value]], Condition]

#: Rows of a dimension that are looked up once; if more fit, each page looks them up.
MOST_IDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What can be asked of images.

    Attributes:
        name: As people write it.
        about: What it holds.
        form: What its values look like.
        where: Which rows have one of the values.
        read: Reads a value; None if any text is one.
        raw: What rows are grouped by; None if it can only be asked for.
        named: What is shown for a raw value; None for the raw value itself.
        shown_as: Its name in the view `images`, if that is another one.
        is_number: Whether it holds numbers.
    """

    name: str
    about: str
    form: str
    where: Where
    read: Callable[[str], Any] | None = None
    raw: Raw | None = None
    named: Callable[[Expression], Expression] | None = None
    shown_as: str = ""
    is_number: bool = False

    @property
    def has_plain_values(self) -> bool:
        """Return whether a comma always separates its values."""
        return self.read is not None

    def read_value(self, value: Value) -> Any:
        """Read a value.

        Raises:
            MisreadError: The column cannot have it.
        """
        if value.text == "*" and not value.is_quoted and self.raw:
            return ANYTHING
        return self.read(value.text) if self.read else value.text

    def value(self, scope: Scope) -> Expression:
        """Return what is shown of a row, and what rows are sorted by."""
        raw = self.raw(scope) if self.raw else sa.null()
        return self.named(raw) if self.named else raw

    def condition(self, scope: Scope, values: Sequence[Value]) -> Condition:
        """Return the condition that a row has one of the values."""
        given = [value for value in values if value.asked is not ANYTHING]
        found = [self.where(scope, given)] if given else []
        if len(given) < len(values):
            shown = self.value(scope)
            is_text = isinstance(shown.type, sa.String)
            found.append(shown != "" if is_text else shown.is_not(None))
        return sa.or_(*found)


def fixed(column: Expression) -> Raw:
    """Return a raw value that is the same column in every scope."""
    return lambda _scope: column


def from_extras(name: str) -> Raw:
    """Return the raw value of an extra of jobs."""
    return lambda scope: value_of(scope.connection, name)


def from_control(name: str) -> Raw:
    """Return the raw value of an attribute of a job's first ControlNet."""
    return lambda scope: value_of_control(scope.connection, name)


def of_members(column: sa.Column[Any]) -> Raw:
    """Return the raw value of a column of memberships."""
    return lambda scope: scope.member(column)


def has_number(raw: Raw) -> Where:
    """Return a condition for numbers, moments and spans of them."""

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        column = raw(scope)
        spans = [each.asked for each in values if isinstance(each.asked, Span)]
        plain = [each.asked for each in values if not isinstance(each.asked, Span)]
        found = [_within(column, span) for span in spans]
        if plain:
            found.append(column.in_(plain) if len(plain) > 1 else column == plain[0])
        return sa.or_(*found)

    return where


def has_word(raw: Raw) -> Where:
    """Return a condition for one of few words, or yes and no."""

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        return raw(scope).in_([each.asked for each in values])

    return where


def has_text(raw: Raw, *, is_part: bool = False) -> Where:
    """Return a condition for text that a row itself has.

    Args:
        raw: The text.
        is_part: Whether a value may be a part of it; the whole of it otherwise.
    """

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        return any_matches(raw(scope), values, is_part=is_part)

    return where


def has_dimension(
    through: sa.Column[Any], column: sa.Column[Any], *, is_part: bool
) -> Where:
    """Return a condition for text in a dimension of jobs or results.

    Args:
        through: The column that holds the dimension's id.
        column: The text.
        is_part: As in `has_text`.
    """

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        said = any_matches(column, values, is_part=is_part)
        return in_dimension(scope, through, said)

    return where


def in_dimension(scope: Scope, through: sa.Column[Any], said: Condition) -> Condition:
    """Return the condition that a row's dimension meets a condition.

    If few rows of the dimension do, they are looked up once. If many do, each page
    reads only those of the jobs that it looks at.
    """
    (key,) = through.foreign_keys
    found = sa.select(key.column).where(said)
    few = found.limit(MOST_IDS + 1)
    ids = scope.connection.execute(few).scalars().all()
    if len(ids) <= MOST_IDS:
        return through.in_(ids)
    return found.where(key.column == through).correlate(through.table).exists()


def says(scope: Scope, words: Sequence[str]) -> Condition:
    """Return the condition that a job's prompt has every word, in any case."""
    said = sa.and_(*(contains(prompts.c.text, word) for word in words))
    return in_dimension(scope, jobs.c.prompt_id, said)


def any_matches(
    column: Expression, values: Sequence[Value], *, is_part: bool
) -> Condition:
    """Return the condition that a text is, or has, one of the values."""
    return sa.or_(*(_matches(column, value, is_part=is_part) for value in values))


def name_in(column: sa.Column[Any]) -> Callable[[Expression], Expression]:
    """Return what turns the id of a dimension's row into its text."""
    # An alias, since a view that the value is added to has the table, too.
    table = column.table.alias()

    def named(raw: Expression) -> Expression:
        found = sa.select(table.c[column.name]).where(table.c.id == raw)
        return found.scalar_subquery()

    return named


def _matches(column: Expression, value: Value, *, is_part: bool) -> Condition:
    if value.is_glob:
        return matches(column, value.text)
    if is_part and value.text:
        return contains(column, value.text)
    return matches(column, value.text, is_glob=False)


def _within(column: Expression, span: Span) -> Condition:
    found = []
    if span.low is not None:
        found.append(column > span.low if span.is_low_open else column >= span.low)
    if span.high is not None:
        found.append(column < span.high if span.is_high_open else column <= span.high)
    return sa.and_(*found)
