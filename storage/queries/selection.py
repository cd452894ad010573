"""A query compiled for one database: which rows of `jobs` it means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql import visitors

from storage.queries.column_kinds import says
from storage.queries.columns import find_column
from storage.queries.leading_words import read_keys, read_sweeps
from storage.queries.names import (
    find_sweeps,
    select_references,
)
from storage.queries.parsing import parse
from storage.queries.scope import Condition, Scope
from storage.queries.terms import Query, RefusedError, Term
from storage.queries.values import ANYTHING, Span
from storage.sql.schema import (
    FAILED,
    FAILED_STATES,
    MADE_STATES,
    jobs,
    ratings,
    results,
    sweep_jobs,
)
from storage.sql.views import select_images, select_sweep_images

#: The query of the ids of all images that somebody rated.
RATED = sa.select(ratings.c.job_id)
#: Most seeds that are looked up one by one.
FEW = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows that a query means.

    Attributes:
        scope: Where its names were looked up.
        conditions: On `jobs` and `results`, and on `sweep_jobs` within one sweep.
        member: That rows are members of the one sweep.
        positive: Those of them that only rows with a value meet, so that an index of
            the values has all of these rows.
        has_failed: Whether only jobs that failed are asked for.
        is_undone: Whether only jobs without an image are asked for.
        is_empty: Whether no row can meet all conditions.
        seeds: The seeds that rows may have, if these are few; empty for any.
        sweeps: Names of the sweeps that it names.
        sweep_words: Those of them that were written as words, without `sweep:`.
        left_out: The query of the ids of references, which are no rows of it; None
            where there are none, or where they count too.
    """

    scope: Scope
    conditions: tuple[Condition, ...]
    member: tuple[Condition, ...]
    positive: tuple[Condition, ...]
    has_failed: bool
    is_undone: bool
    is_empty: bool
    seeds: tuple[int, ...]
    sweeps: tuple[str, ...]
    sweep_words: tuple[str, ...]
    left_out: sa.Select[tuple[int]] | None = None

    @property
    def job_id(self) -> sa.Column[int]:
        """Return the column that orders the rows, whose index serves their sweep."""
        return jobs.c.id if self.scope.sweep_id is None else sweep_jobs.c.job_id

    @property
    def is_rated(self) -> bool:
        """Return whether only images that somebody rated are asked for."""
        return any(columns_in(each) & {*ratings.c} for each in self.positive)

    def select(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Return the query of some values of all rows, in any order."""
        read = (columns_in(each) for each in (*columns, *self.conditions))
        used = {column.table for some in read for column in some}
        tables: sa.FromClause = jobs
        if self.scope.sweep_id is not None:
            tables = sweep_jobs
            if jobs in used:
                tables = tables.join(jobs, jobs.c.id == sweep_jobs.c.job_id)
        if results in used:
            tables = tables.outerjoin(results, results.c.job_id == self.job_id)
        rows = sa.select(*columns).select_from(tables)
        if self.left_out is not None:
            rows = rows.where(jobs.c.id.not_in(self.left_out))
        if self.is_rated:
            # These are few, and found first.
            rows = rows.where(self.job_id.in_(RATED))
        # As the index of failed jobs says it.
        failed = FAILED if self.has_failed else sa.true()
        return rows.where(*self.member, *self.conditions, failed)

    def count(self) -> int:
        """Count the rows."""
        everything = replace(self, left_out=None)
        counted = everything.select(sa.func.count())
        queries = [counted]
        if self.left_out is not None:
            # Faster than to look for each of all rows among the few that are left out.
            queries.append(counted.where(jobs.c.id.in_(self.left_out)))
        read = self.scope.connection.execute
        total, *left_out = (int(read(each).scalar_one()) for each in queries)
        return total - sum(left_out)

    def in_order(self) -> sa.Select[Any]:
        """Return the query of the ids of all rows, in the order of submission.

        It goes through the ids, whose order it has: the database must look for rows
        neither by an index of a condition nor by the members of the sweep.
        """
        tables: sa.FromClause = jobs
        if self.scope.sweep_id is not None:
            is_its = sweep_jobs.c.job_id == jobs.c.id
            tables = tables.outerjoin(sweep_jobs, sa.and_(is_its, *self.member))
        if any(columns_in(each) & {*results.c} for each in self.conditions):
            tables = tables.outerjoin(results, results.c.job_id == jobs.c.id)
        plain = map(unindexed, (*self.member, *self.conditions))
        rows = sa.select(jobs.c.id).select_from(tables).where(*plain)
        if self.left_out is not None:
            rows = rows.where(jobs.c.id.not_in(self.left_out))
        return rows.order_by(jobs.c.id)

    def about(self, *columns: sa.Column[Any]) -> Sequence[Condition]:
        """Return the positive conditions that are only about some columns."""
        return [each for each in self.positive if columns_in(each) <= {*columns}]

    def select_ids(self) -> sa.Select[Any]:
        """Return the query of the ids of all rows, to look for other rows with them."""
        return self.select(self.job_id).correlate(None)

    def select_rows(self) -> sa.Select[Any]:
        """Return the query of the view `images`, or `sweep_images` for one sweep."""
        if self.scope.sweep_id is None:
            return select_images()
        mine = sweep_jobs.c.sweep_id == self.scope.sweep_id
        return select_sweep_images().where(mine)


def compile_query(connection: Connection, query: Query | str) -> Selection:
    """Look up the names of a query, and return what it means.

    Words at its beginning that are exactly names of sweeps mean these sweeps, and keys
    of images that follow, or their first 8 digits, mean these images. Images that are
    references and nothing else are left out, unless a sweep or a key is named.

    Raises:
        UsageError: The query cannot be read; a sweep, a scheduler or a metric does not
            exist; or the first word is almost the name of a sweep and no prompt has it.
    """
    query = parse(query) if isinstance(query, str) else query
    try:
        words = read_sweeps(connection, query.terms)
        terms = read_keys(connection, query.terms[len(words) :])
        found = _compile(connection, terms, words=words)
    except RefusedError as exc:
        value = exc.value
        where = {"start": value.start, "end": value.end}
        raise query.refuse(str(exc), **where) from exc
    has_key = any(term.name == "key" for term in terms)
    if query.has_references or found.sweeps or has_key:
        return found
    return replace(found, left_out=select_references(connection))


def _compile(
    connection: Connection, terms: Sequence[Term], *, words: Sequence[Term]
) -> Selection:
    if words:
        values = tuple(word.values[0] for word in words)
        terms = (Term(name="sweep", values=values), *terms)
    wanted = [term for term in terms if term.name == "sweep" and not term.is_negated]
    named: dict[str, int] = {}
    for term in wanted:
        named |= find_sweeps(connection, term.values)
    scope = Scope(connection=connection, sweep_ids=tuple(named.values()))
    member = list[Condition]()
    exact = [term.values[0].text for term in wanted if _is_exact(term)]
    if exact:
        scope = replace(scope, sweep_id=named[exact[0]])
        member.append(sweep_jobs.c.sweep_id == scope.sweep_id)
        terms = [term for term in terms if not _is_sweep(term, exact[0])]
    conditions = [_condition(scope, term) for term in terms]
    signed = zip(conditions, terms, strict=True)
    positive = [each for each, term in signed if not term.is_negated]
    is_undone = any(map(_is_undone, terms))
    is_empty = is_undone and any(map(_needs_image, positive))
    if is_undone:
        positive.append(jobs.c.total_s.is_(None))
    return Selection(
        scope=scope,
        conditions=tuple(conditions),
        member=tuple(member),
        positive=tuple(positive),
        has_failed=any(map(_is_failed, terms)),
        is_undone=is_undone,
        is_empty=is_empty,
        seeds=next(filter(None, map(_few_seeds, terms)), ()),
        sweeps=tuple(named),
        sweep_words=tuple(word.values[0].text for word in words),
    )


def _is_exact(term: Term) -> bool:
    (value, *others) = term.values
    return not others and not value.is_glob


def _is_sweep(term: Term, name: str) -> bool:
    is_positive = term.name == "sweep" and not term.is_negated
    return is_positive and _is_exact(term) and term.values[0].text == name


def _is_failed(term: Term) -> bool:
    return _asks_state(term) and all(
        each.asked in FAILED_STATES for each in term.values
    )


def _is_undone(term: Term) -> bool:
    return _asks_state(term) and all(
        each.asked not in MADE_STATES for each in term.values
    )


def _few_seeds(term: Term) -> tuple[int, ...]:
    """Return the seeds that a term allows, if these are few; else nothing."""
    found: set[int] = set()
    if term.name != "seed" or term.is_negated:
        return ()
    for value in term.values:
        low, high = _bounds(value.asked)
        if low is None or high is None or high - low > FEW:
            return ()
        found |= {*range(math.ceil(low), math.floor(high) + 1)}
    return tuple(sorted(found)) if len(found) <= FEW else ()


def _bounds(asked: Any) -> tuple[float | None, float | None]:
    if isinstance(asked, Span):
        return asked.low, asked.high
    return (None, None) if asked is ANYTHING else (asked, asked)


def _asks_state(term: Term) -> bool:
    is_any = any(value.asked is ANYTHING for value in term.values)
    return term.name == "state" and not (term.is_negated or is_any)


def _needs_image(condition: Condition) -> bool:
    """Return whether only jobs with an image can meet a condition that is positive."""
    found = columns_in(condition)
    return bool(found) and found <= {*results.c, jobs.c.total_s}


def _condition(scope: Scope, term: Term) -> Condition:
    column = find_column(term.name) if term.name else None
    if column is None:
        meant = says(scope, [term.values[0].text])
    else:
        meant = column.condition(scope, term.values)
    # Rows that have no value are among the others, too.
    return meant.is_not(sa.true()) if term.is_negated else meant


def unindexed(condition: Condition) -> Condition:
    """Return a condition that a database does not look for by an index."""
    return condition.is_(sa.true())


def columns_in(expression: sa.ColumnElement[Any]) -> set[sa.Column[Any]]:
    """Return all columns in an expression, and in queries within it."""
    return {
        each for each in visitors.iterate(expression) if isinstance(each, sa.Column)
    }
