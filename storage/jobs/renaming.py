"""Sweeps get another name.

Rows point to a sweep by its id, and messages hold keys, so workers notice nothing. The
name itself is in the sweep's row and in its spec, and in those of its references.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage.errors import ChangedSweepError, UsageError
from storage.jobs.companions import companion_name, companion_spec
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import sweeps

#: Commands that the reason of a sweep that paused itself names, with the sweep.
_NAMED = ("retry", "resume", "cancel")


def rename(database: Database, sweep: Sweep, name: str, *, spec: str) -> None:
    """Give a sweep and its references another name, all of it or nothing.

    What decides what it wants is not known afterwards, since its text has changed: the
    next submission makes a new revision.

    Args:
        database: Where the sweep is.
        sweep: The sweep, as it was read.
        name: The new name.
        spec: Its YAML, with that name.

    Raises:
        UsageError: Another sweep has the name, or that of its references.
        ChangedSweepError: It was changed since it was read, or is being submitted.
        DatabaseError: SQL cannot be reached.
    """
    try:
        with database.write() as connection:
            _refuse_taken(connection, sweep, name)
            if not _change(connection, sweep, _values(sweep, name, spec)):
                raise ChangedSweepError(sweep.name)
            of_it = sa.update(sweeps).where(sweeps.c.reference_of == sweep.id)
            other = {"name": companion_name(name), "spec": companion_spec(name)}
            connection.execute(of_it.values(other))
    except IntegrityError as exc:  # on PostgreSQL, somebody was faster
        raise UsageError(_say_taken(name)) from exc


def _refuse_taken(connection: sa.Connection, sweep: Sweep, name: str) -> None:
    has_references = sa.exists().where(sweeps.c.reference_of == sweep.id)
    names = [name]
    if connection.execute(sa.select(has_references)).scalar():
        names.append(companion_name(name))
    query = sa.select(sweeps.c.name).where(
        sweeps.c.name.in_(names),
        sweeps.c.id != sweep.id,
        sweeps.c.reference_of.is_distinct_from(sweep.id),
    )
    if found := connection.execute(query).scalars().first():
        raise UsageError(_say_taken(found))


def _say_taken(name: str) -> str:
    return f"a name must be that of one sweep, and {name} is taken; choose another one."


def _values(sweep: Sweep, name: str, spec: str) -> dict[str, Any]:
    reason = sweep.reason or ""
    for command in _NAMED:
        before, after = (f"{command} {each}`" for each in (sweep.name, name))
        reason = reason.replace(before, after)
    return {"name": name, "spec": spec, "digest": "", "reason": reason or None}


def _change(connection: sa.Connection, sweep: Sweep, values: dict[str, Any]) -> int:
    is_same = sa.and_(
        sweeps.c.id == sweep.id,
        sweeps.c.name == sweep.name,
        sweeps.c.revision == sweep.revision,
        sweeps.c.submitting.is_(None),
        sweeps.c.reason.is_not_distinct_from(sweep.reason),
    )
    return connection.execute(sa.update(sweeps).where(is_same).values(values)).rowcount
