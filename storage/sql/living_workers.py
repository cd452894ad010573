"""Workers that live while a database is to be upgraded: their nightsweep is older."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import DatabaseError
from storage.host.worker_ids import is_dead
from storage.sql.faults import shown

#: Seconds after which a worker counts as silent, and its last report as old.
SILENT_S = 60.0


def refuse_living_workers(connection: Connection, *, revision: str, head: str) -> None:
    """Refuse to upgrade a database while workers use it, on any host.

    Args:
        connection: To a database of any schema of ours; the first ones had no table of
            workers.
        revision: Its schema.
        head: The schema to come.

    Raises:
        DatabaseError: A worker gave a sign of life within the last minute.
    """
    if not sa.inspect(connection).has_table("workers"):
        return
    moment = datetime.now(UTC) - timedelta(seconds=SILENT_S)
    oldest = moment.isoformat(timespec="microseconds")
    # Not by the columns of `storage.sql.schema`, which an older schema lacks.
    query = sa.text("SELECT name, host, owner FROM workers WHERE seen_at >= :oldest")
    rows = connection.execute(query, {"oldest": oldest})
    alive = (row for row in rows if not is_dead(row.owner))
    living = sorted(f"{row.name} on {row.host}" for row in alive)
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
