"""Rows of a query, counted only as far as it matters."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def count_rows(connection: Connection, rows: sa.Select[Any], *, up_to: int) -> int:
    """Return the number of rows, but no more than `up_to`: no more are read."""
    some = rows.limit(up_to).subquery()
    query = sa.select(sa.func.count()).select_from(some)
    return int(connection.execute(query).scalar_one())
