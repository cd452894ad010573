"""Extras of jobs, such as `eta`, as values in a query."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import EXTRAS
from storage.sql.schema import jobs


def value_of(connection: Connection, name: str) -> sa.ColumnElement[Any]:
    """Return the value of an extra of `jobs`; a job without one has the neutral one.

    Numbers are floats. Of others it is the text, which is empty where they are neutral.
    """
    # The text of SQLite is JSON as it is.
    read = sa.type_coerce if connection.dialect.name == "sqlite" else sa.cast
    value = read(jobs.c.extras, sa.JSON)[name]
    if name in ("eta", "clip_skip"):
        return sa.func.coalesce(value.as_float(), float(EXTRAS[name]))
    return sa.func.coalesce(value.as_string(), "")
