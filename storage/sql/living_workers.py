"""Workers that live while a database is to be upgraded: their nightsweep is older."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import DatabaseError
from storage.host.worker_ids import is_dead, is_of_this_machine
from storage.sql.clocks import ago
from storage.sql.faults import shown

#: Seconds after which a worker counts as silent, and its last report as old.
SILENT_S = 60.0


def refuse_living_workers(connection: Connection, *, revision: str, head: str) -> None:
    """Refuse to upgrade a database while workers use it, on any host.

    A worker of this host counts for as long as its process lives: one that starts may
    be silent for minutes. One of another host counts for a minute after its last sign.

    Args:
        connection: To a database of any schema of ours; the first ones had no table of
            workers.
        revision: Its schema.
        head: The schema to come.

    Raises:
        DatabaseError: A worker lives.
    """
    if not sa.inspect(connection).has_table("workers"):
        return
    oldest = ago(connection, SILENT_S)
    # Not by the columns of `storage.sql.schema`, which an older schema lacks.
    rows = connection.execute(sa.text("SELECT name, host, owner, seen_at FROM workers"))
    living = sorted(
        f"{row.name} on {row.host}"
        for row in rows
        if _is_alive(row.owner, is_recent=row.seen_at >= oldest)
    )
    if not living:
        return
    more = f" and {len(living) - 1:,} more" if living[1:] else ""
    msg = (
        "Workers must be at rest while the database is upgraded from schema "
        f"{revision} to {head}, but workers of an older nightsweep use "
        f"{shown(connection.engine)}: {living[0]}{more}; stop them, or wait until they "
        "are done, and start this again. Nothing was changed."
    )
    raise DatabaseError(msg)


def _is_alive(owner: str, *, is_recent: bool) -> bool:
    # Supervisors name themselves and their worker: `night3:4711:5025/gpu0`.
    process = owner.partition("/")[0]
    return (is_recent or is_of_this_machine(process)) and not is_dead(process)
