"""Extras of jobs, such as `eta`, as values in a query."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import EXTRAS
from storage.sql.schema import jobs


def value_of(connection: Connection, name: str) -> sa.ColumnElement[Any]:
    """Return the value of an extra of `jobs`; it is neutral for a job without one.

    Numbers are floats. `strict` is true or false. All other values are text, which is
    empty if they are neutral.
    """
    value = read_json(connection, jobs.c.extras)[name]
    if name in ("eta", "clip_skip"):
        return sa.func.coalesce(value.as_float(), float(EXTRAS[name]))
    if name == "strict":
        return sa.func.coalesce(value.as_boolean(), sa.false())
    return sa.func.coalesce(value.as_string(), "")


def read_json(connection: Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return a column of text as JSON, for a value of it by name."""
    # SQLite takes the text as JSON without a cast.
    read = sa.type_coerce if connection.dialect.name == "sqlite" else sa.cast
    return read(column, sa.JSON)
