"""The rows that answer a query, page by page, and what can be said of all of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.pipeline_calls import PREFIX, all_parameters
from storage.errors import UsageError
from storage.job import EXTRAS
from storage.queries.column_kinds import Column
from storage.queries.paths import find_ids, short_list
from storage.queries.selection import Selection, compile_query
from storage.queries.sorting import Key, Order, Position, read_columns, read_order
from storage.queries.terms import Query
from storage.queries.values import MisreadError, read_key
from storage.sql.database import Database
from storage.sql.extras import value_of
from storage.sql.schema import jobs, sweeps
from storage.sql.views import select_images, select_sweep_images

#: Rows that one page of an answer holds.
PAGE_ROWS = 1000
#: Most keys that a message lists where several begin alike.
LISTED = 10
#: Parameters, besides extras, that are worth a column where rows differ in them.
DIFFERING = (
    *("model", "negative_prompt", "width", "height", "dtype", "backend", "generator"),
)

#: Types in SQL that are not text in Python. A column that is NULL here counts as text.
_KINDS = {sa.Boolean: bool, sa.Integer: int, sa.Float: float}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How the rows of an answer are wanted.

    Attributes:
        keys: What they are sorted by; then they come in the order of submission.
        limit: Most rows; None for all.
        columns: What is wanted of each; None for the columns of the view `images`, or
            of `sweep_images` if the query names one sweep.
        after: Key of the last row before these; empty to begin at the first.
    """

    keys: Sequence[Key] = ()
    limit: int | None = None
    columns: Sequence[Column] | None = None
    after: str = ""


def read_wanted(
    *, sort: str = "", limit: int | None = None, columns: str = "", after: str = ""
) -> Wanted:
    """Read how people say what they want of an answer.

    Args:
        sort: Columns, with commas; `-time` begins with the slowest.
        limit: Most rows; None for all.
        columns: Columns, with commas; empty for those of the view.
        after: Key of the last row before these; empty to begin at the first.

    Raises:
        UsageError: A column does not exist.
    """
    return Wanted(
        keys=read_order(sort),
        limit=limit,
        columns=read_columns(columns) if columns else None,
        after=after,
    )


def find(
    database: Database, query: Query | str, wanted: Wanted | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows that answer a query, page by page, so that no answer needs memory.

    Raises:
        UsageError: A name in the query does not exist, or no job has the key `after`.
    """
    wanted = wanted or Wanted()
    with database.read() as connection:
        selection = compile_query(connection, query)
        order = Order(wanted.keys, selection.scope, job_id=selection.job_id)
        rows = _select(selection, wanted.columns)
        after = _position(connection, selection, order, wanted.after)
    left = wanted.limit
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        with database.read() as connection:
            page = _page(connection, selection, order, after=after, size=size)
            yield from _read(connection, rows, page, job_id=selection.job_id)
        if len(page) < size:
            return
        after = page[-1]
        left = None if left is None else left - len(page)


def count(database: Database, query: Query | str) -> int:
    """Count the images that a query means.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        return compile_query(connection, query).count()


def read_fields(
    database: Database | None, query: Query | str, wanted: Wanted | None = None
) -> dict[str, type]:
    """Return the names of the columns of an answer, with their types in Python.

    Raises:
        UsageError: A name in the query does not exist.
    """
    if database is None:
        if wanted and wanted.columns is not None:
            return {
                each.name: float if each.is_number else str for each in wanted.columns
            }
        return _types(select_images())
    with database.read() as connection:
        selection = compile_query(connection, query)
        return _types(_select(selection, wanted.columns if wanted else None))


def read_meaning(database: Database, query: Query | str) -> Selection:
    """Return what a query means, whose conditions hold for this database only.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        return compile_query(connection, query)


def find_differing(
    database: Database, query: Query | str, *, limit: int | None = None
) -> list[str]:
    """Return the names in `DIFFERING` and `EXTRAS` in which rows of `find` differ.

    Raises:
        UsageError: A name in the query does not exist.
    """
    with database.read() as connection:
        selection = compile_query(connection, query)
        rows = selection.select_rows()
        values = [rows.selected_columns[name] for name in DIFFERING]
        ids = selection.select_ids().order_by(selection.job_id).limit(limit)
        # As text, since PostgreSQL has no least of true and false.
        extras = {
            name: sa.cast(value_of(connection, name), sa.Text)
            for name in (*EXTRAS, *_list_calls(connection, ids))
        }
        values += [
            sa.func.coalesce(value, "").label(name) for name, value in extras.items()
        ]
        asked = rows.with_only_columns(*values).where(selection.job_id.in_(ids))
        found = asked.subquery().c
        differs = [sa.func.min(each) < sa.func.max(each) for each in found]
        answers = connection.execute(sa.select(*differs)).one()
        return [each.name for each, is_so in zip(found, answers, strict=True) if is_so]


def _list_calls(connection: Connection, ids: sa.Select[Any]) -> list[str]:
    """Return the inputs that only some pipelines have and that some jobs set."""
    has_call = jobs.c.extras.contains(f'"{PREFIX}')
    extras = sa.select(jobs.c.extras).where(jobs.c.id.in_(ids), has_call).distinct()
    found = connection.execute(extras).scalars()
    named = {name for each in found for name in json.loads(each)}
    return [name for name in all_parameters() if name in named]


def find_one(database: Database, key: str) -> dict[str, Any]:
    """Return the row of the view `images` for a key, or for the beginning of one.

    Raises:
        UsageError: No key begins like this, or several do.
    """
    try:
        digits = read_key(key)
    except MisreadError as exc:
        msg = f"key must be {exc.rule}, got {key!r}; {exc.hint}."
        raise UsageError(msg) from None
    with database.read() as connection:
        # A range, which the index of keys serves.
        begins = sa.and_(jobs.c.key >= digits, jobs.c.key < f"{digits}g")
        some = sa.select(jobs.c.key).where(begins).limit(LISTED + 1)
        found = sorted(connection.execute(some).scalars())
        if len(found) == 1:
            row = connection.execute(select_images().where(jobs.c.key == found[0]))
            return dict(row.one()._mapping)
    if not found:
        msg = f"key must be a job's, got {key!r}; `nightsweep find` lists the keys."
        raise UsageError(msg)
    more = ", and more" if len(found) > LISTED else ""
    msg = (
        f"key must begin the key of one job only, but {key!r} begins several: "
        f"{', '.join(found[:LISTED])}{more}; give more of its digits."
    )
    raise UsageError(msg)


def find_memberships(database: Database, key: str) -> list[dict[str, Any]]:
    """Return the rows of the view `sweep_images` for a key, oldest sweep first."""
    query = select_sweep_images().where(jobs.c.key == key).order_by(sweeps.c.id)
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _position(
    connection: Connection, selection: Selection, order: Order, key: str
) -> Position | None:
    """Return the place of a key's row in the order, whether or not it is an answer."""
    if not key:
        return None
    rows = selection.select_rows().with_only_columns(selection.job_id, *order.values)
    found = connection.execute(rows.where(jobs.c.key == key)).first()
    if found is None:
        msg = f"rows must begin after a row of the answer, got {key!r}; give its key."
        raise UsageError(msg)
    return Position(job_id=found[0], values=tuple(found[1:]))


def _page(
    connection: Connection,
    selection: Selection,
    order: Order,
    *,
    after: Position | None,
    size: int,
) -> list[Position]:
    if not order.values:
        last = after.job_id if after else 0
        ids = find_ids(connection, selection, after=last, size=size)
        return [Position(job_id=each, values=()) for each in ids]
    page: list[Position] = []
    rows = selection.select(selection.job_id, *order.values).order_by(*order.clauses)
    few = short_list(connection, selection)
    if few is not None:
        rows = rows.where(selection.job_id.in_(few))
    for part in order.parts(after):
        some = connection.execute(rows.where(part).limit(size - len(page)))
        page += (Position(job_id=row[0], values=tuple(row[1:])) for row in some)
        if len(page) == size:
            break
    return page


def _read(
    connection: Connection,
    rows: sa.Select[Any],
    page: Sequence[Position],
    *,
    job_id: sa.Column[int],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a page in its order."""
    if not page:
        return
    ids = [each.job_id for each in page]
    # As literals: some builds of SQLite have fewer parameters than a page has rows.
    here: sa.BindParameter[Any] = sa.bindparam(
        "ids", ids, expanding=True, literal_execute=True
    )
    found = rows.add_columns(job_id.label("_id")).where(job_id.in_(here))
    answer = connection.execute(found)
    *names, _ = answer.keys()
    by_id = {}
    for *values, row_id in answer:
        by_id[row_id] = dict(zip(names, values, strict=True))
    for each in page:
        if each.job_id in by_id:
            yield by_id[each.job_id]


def _select(selection: Selection, columns: Sequence[Column] | None) -> sa.Select[Any]:
    rows = selection.select_rows()
    if columns is None:
        return rows
    some = (each.value(selection.scope).label(each.name) for each in columns)
    return rows.with_only_columns(*some)


def _types(rows: sa.Select[Any]) -> dict[str, type]:
    return {
        column.name: next(
            (kind for of, kind in _KINDS.items() if isinstance(column.type, of)), str
        )
        for column in rows.selected_columns
    }
