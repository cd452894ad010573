"""Extras of jobs, such as `eta`, as values in a query."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.control_pipelines import Control
from storage.catalogue.pipeline_calls import PREFIX, all_parameters, parameters_of
from storage.job import EXTRAS, canonical_json
from storage.sql.schema import jobs, models


def value_of(connection: Connection, name: str) -> sa.ColumnElement[Any]:
    """Return the value of an extra of `jobs`; it is neutral for a job without one.

    Numbers are floats. `strict` is true or false. All other values are text, which is
    empty if they are neutral.
    """
    value = read_json(connection, jobs.c.extras)[name]
    if name.startswith(PREFIX):
        return _value_of_call(connection, name, value)
    if isinstance(EXTRAS[name], float | int) and name != "strict":
        return sa.func.coalesce(value.as_float(), float(EXTRAS[name]))
    if name == "strict":
        return sa.func.coalesce(value.as_boolean(), sa.false())
    return sa.func.coalesce(value.as_string(), "")


def value_of_control(connection: Connection, name: str) -> sa.ColumnElement[Any]:
    """Return a number of the first ControlNet of `jobs`; NULL for a job without one.

    Args:
        connection: The connection.
        name: An attribute of `Control`.
    """
    path = ("controlnet", 0, Control._fields.index(name))
    number: sa.ColumnElement[Any] = read_json(connection, jobs.c.extras)[
        path
    ].as_float()
    return number


def read_json(connection: Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return a column of text as JSON, for a value of it by name."""
    # SQLite takes the text as JSON without a cast.
    read = sa.type_coerce if connection.dialect.name == "sqlite" else sa.cast
    return read(column, sa.JSON)


def _value_of_call(
    connection: Connection, name: str, value: Any
) -> sa.ColumnElement[Any]:
    """Return the value of an input that only some pipelines have.

    NULL for jobs of other pipelines, and where the pipeline decides the value itself.
    """
    kind = all_parameters()[name].kind
    read: sa.ColumnElement[Any] = value.as_string()
    if kind == "flag":
        read = value.as_boolean()
    elif kind in ("integer", "number"):
        read = value.as_float()
    neutral = {
        row.id: canonical_json(known.default) if kind == "integers" else known.default
        for row in connection.execute(sa.select(models.c.id, models.c.pipeline))
        if (known := parameters_of(row.pipeline).get(name))
        and known.default is not None
    }
    if not neutral:
        return read
    return sa.func.coalesce(read, sa.case(neutral, value=jobs.c.model_id))
