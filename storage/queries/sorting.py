"""The order of an answer, and where its next page begins.

A page begins after a position, the sort values of the last row before it, so that a
deep page costs what the first one costs. Rows without a value come last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.errors import UsageError
from storage.queries.column_kinds import Column, Expression
from storage.queries.columns import find_column
from storage.queries.parsing import unknown_column
from storage.queries.scope import Condition, Scope
from storage.queries.selection import RATED, columns_in
from storage.sql.schema import ratings


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One column that rows are sorted by."""

    column: Column
    is_descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A row's place in an order: its values of the order's keys, and its job's id."""

    values: tuple[Any, ...]
    job_id: int


def read_columns(text: str) -> list[Column]:
    """Read names of columns, separated by commas.

    Raises:
        UsageError: One does not exist, or has no value that could be shown.
    """
    return [_shown_column(name.strip()) for name in text.split(",")]


def read_order(text: str) -> tuple[Key, ...]:
    """Read columns to sort by, separated by commas; `-` before one turns it round.

    Raises:
        UsageError: One does not exist, or has no value to sort by.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    return tuple(
        Key(column=_shown_column(name.lstrip("-")), is_descending=name.startswith("-"))
        for name in names
    )


class Order:
    """Columns to sort by within one scope; then rows are in the order of submission."""

    def __init__(
        self, keys: Sequence[Key], scope: Scope, *, job_id: sa.Column[int]
    ) -> None:
        """Take what rows are sorted by, and the column of their ids."""
        self.values = [key.column.value(scope) for key in keys]
        self._turned = [key.is_descending for key in keys]
        self._job_id = job_id

    @property
    def clauses(self) -> list[Expression]:
        """Return what a query is ordered by."""
        pairs = zip(self.values, self._turned, strict=True)
        sorted_by = [value.desc() if turned else value.asc() for value, turned in pairs]
        return [*(each.nulls_last() for each in sorted_by), self._job_id]

    def parts(self, after: Position | None) -> Iterator[Condition]:
        """Yield conditions for the rows after a position, one part after the other.

        Rows without a value of the first key are a part of their own, so that an index
        finds where the other part begins.
        """
        if not self.values:
            yield sa.true() if after is None else self._job_id > after.job_id
            return
        first, is_turned = self.values[0], self._turned[0]
        has_value = self._has_value(first)
        if after is None:
            yield has_value
            yield first.is_(None)
            return
        rest, start = self._follows(after), after.values[0]
        if start is not None:
            is_later = first <= start if is_turned else first >= start
            yield sa.and_(has_value, is_later, rest)
        yield first.is_(None) if start is not None else sa.and_(first.is_(None), rest)

    def _has_value(self, value: Expression) -> Condition:
        has_value = value.is_not(None)
        if not columns_in(value) & {*ratings.c}:
            return has_value
        # Images that somebody rated are few, and found first.
        return sa.and_(self._job_id.in_(RATED), has_value)

    def _follows(self, after: Position) -> Condition:
        """Return the condition that a row comes after a position, compared in full."""
        follows: Condition = self._job_id > after.job_id
        both = zip(self.values, self._turned, after.values, strict=True)
        for value, is_turned, start in reversed(list(both)):
            if start is None:
                follows = sa.and_(value.is_(None), follows)
                continue
            is_past = value < start if is_turned else value > start
            is_equal = sa.and_(value == start, follows)
            follows = sa.or_(is_past, is_equal, value.is_(None))
        return follows


def _shown_column(name: str) -> Column:
    column = find_column(name)
    if column is None:
        msg = unknown_column(name)
        raise UsageError(msg)
    if column.raw is None:
        msg = f"a column must have a value to show, and {name} has none; leave it out."
        raise UsageError(msg)
    return column
