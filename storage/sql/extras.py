"""Extras of jobs, such as `eta`, as values in a query."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import EXTRAS
from storage.sql.schema import jobs


def value_of(connection: Connection, name: str) -> sa.ColumnElement[Any]:
    """Return the value of an extra of `jobs`; it is neutral for a job without one.

    Numbers are floats. All other values are text, which is empty if they are neutral.
    """
    # SQLite takes the text as JSON without a cast.
    read = sa.type_coerce if connection.dialect.name == "sqlite" else sa.cast
    value = read(jobs.c.extras, sa.JSON)[name]
    if name in ("eta", "clip_skip"):
        return sa.func.coalesce(value.as_float(), float(EXTRAS[name]))
    return sa.func.coalesce(value.as_string(), "")
