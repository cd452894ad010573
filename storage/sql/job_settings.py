"""Which combinations of settings jobs have, and where their jobs are."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.sql.database import insert_into
from storage.sql.schema import job_settings, jobs

_KEY = ("sweep_id", "scheduler_id", "model_id", "steps", "guidance")


def note_settings(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    """Note the settings of jobs that are new, or have another scheduler now.

    Args:
        connection: In a transaction that writes, of the only producer.
        which: The jobs.
    """
    columns = [jobs.c[name] for name in _KEY]
    ends = (sa.func.min(jobs.c.id), sa.func.max(jobs.c.id))
    found = sa.select(*columns, *ends).where(which).group_by(*columns)
    statement = insert_into(connection, job_settings)
    known, new = job_settings.c, statement.excluded
    statement = statement.from_select([*_KEY, "first_id", "last_id"], found)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY,
            set_={
                "first_id": sa.case(
                    (new.first_id < known.first_id, new.first_id), else_=known.first_id
                ),
                "last_id": sa.case(
                    (new.last_id > known.last_id, new.last_id), else_=known.last_id
                ),
            },
        )
    )


def last_id(connection: Connection) -> int:
    """Return the largest id of a job; those that are added next have larger ones."""
    query = sa.select(sa.func.coalesce(sa.func.max(jobs.c.id), 0))
    return int(connection.execute(query).scalar_one())
