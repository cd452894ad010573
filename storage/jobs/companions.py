"""The sweep that holds the references of another one: made, paused and wanted with it.

Its images are those with which distances are measured: the jobs of a sweep at another
number of steps. They are no members of that sweep, so its grids and totals have none.
"""

import hashlib

import sqlalchemy as sa

from storage.errors import UsageError
from storage.jobs.sweeps import Sweep, find_references, find_sweep
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import sweeps

#: What the name of such a sweep ends with.
ENDING = ".reference"
#: Characters of a name.
NAME_LENGTH = 64


def companion_name(name: str) -> str:
    """Return the name of the sweep that holds the references of another one."""
    most = NAME_LENGTH - len(ENDING)
    if len(name) > most:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: most - 9]}-{digest}"
    return name + ENDING


def companion_spec(name: str) -> str:
    """Return what stands in the place of a spec for the references of a sweep."""
    return f"# The references of {name}, planned with its scores.\n"


def companion_of(database: Database, sweep: Sweep) -> Sweep:
    """Return the sweep that holds the references of `sweep`; make it if need be.

    It has the state, the priority and the owner of `sweep`, and follows changes of the
    first two; see `storage.jobs.lifecycle`. The references of a companion are its own
    members.

    Raises:
        UsageError: Somebody has given another sweep that name.
    """
    if sweep.reference_of is not None:
        return sweep
    if found := find_companion(database, sweep):
        return found
    with database.write() as connection:
        # Its name is read here, since it may have another one by now, and locked.
        query = sa.select(sweeps.c.name, sweeps.c.state, sweeps.c.priority)
        query = query.add_columns(sweeps.c.owner_id)
        query = query.where(sweeps.c.id == sweep.id).with_for_update(key_share=True)
        row = connection.execute(query).one()
        name = companion_name(row.name)
        values = {
            "name": name,
            "revision": 1,
            "digest": "",
            "spec": companion_spec(row.name),
            "axes": "{}",
            "state": row.state,
            "priority": row.priority,
            "owner_id": row.owner_id,
            "created_at": utc_now(),
            "judged": True,
            "changes": 0,
            "reference_of": sweep.id,
        }
        statement = insert_into(connection, sweeps).values(values)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
    found = find_sweep(database, name)
    if found is None or found.reference_of != sweep.id:
        msg = (
            f"the references of {sweep.name} need the name {name}, but another sweep "
            "has it; submit that one under another name."
        )
        raise UsageError(msg)
    return found


def find_companion(database: Database, sweep: Sweep) -> Sweep | None:
    """Return the sweep that holds the references of `sweep`; None if there is none."""
    return find_references(database, sweep)


def refuse_companion(name: str, stored: Sweep | None) -> None:
    """Refuse to submit a spec under the name of references.

    Raises:
        UsageError: `stored` holds the references of another sweep.
    """
    if stored and stored.reference_of is not None:
        msg = (
            f"name must not be that of the references of another sweep, got {name}; "
            "choose another name."
        )
        raise UsageError(msg)
