"""Images and seconds of work, counted from a moment on: counters that only grow."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage.fleet.live_counts import LATE_S
from storage.sql.database import Database
from storage.sql.schema import environments, results

#: What an image takes, in order; the columns are named `<phase>_s`.
PHASES = ("load", "encode", "denoise", "decode", "save")

#: What was finished: `images`, and seconds by phase.
Work = Mapping[str, float]
#: That, by GPU and host.
ByGpu = dict[tuple[str, str], Work]


class FinishedWork:
    """What the GPUs finished since this object was made.

    Each look reads only the images of the last two minutes and those since the last
    look, by the index of the times. An image that is committed later than two minutes
    after its time is not counted.
    """

    def __init__(self, start: datetime | None = None) -> None:
        """Count images that are finished from `start` on; None for now."""
        self._settled: ByGpu = {}
        self._settled_until = start or datetime.now(UTC)

    def look(self, database: Database, now: datetime | None = None) -> ByGpu:
        """Return all that was finished since the start.

        Args:
            database: Where the results are.
            now: The time; None to look at the clock.

        Raises:
            DatabaseError: The database cannot be read; the next look counts all again.
        """
        late = (now or datetime.now(UTC)) - timedelta(seconds=LATE_S)
        until = max(late, self._settled_until)
        with database.read() as connection:
            older = _finished(connection, self._settled_until, until)
            newer = _finished(connection, until, None)
        self._settled = _added(self._settled, older)
        self._settled_until = until
        return _added(self._settled, newer)


def _finished(
    connection: sa.Connection, since: datetime, until: datetime | None
) -> ByGpu:
    at = results.c.finished_at
    among = [at >= _text(since)] + ([at < _text(until)] if until else [])
    seconds = [sa.func.sum(results.c[f"{phase}_s"]).label(phase) for phase in PHASES]
    query = (
        sa.select(environments.c.gpu, environments.c.host)
        .add_columns(sa.func.count().label("images"), *seconds)
        .join(results, results.c.environment_id == environments.c.id)
        .where(*among)
        .group_by(environments.c.gpu, environments.c.host)
    )
    return {
        (gpu, host): dict(zip(("images", *PHASES), figures, strict=True))
        for gpu, host, *figures in connection.execute(query)
    }


def _added(one: ByGpu, other: ByGpu) -> ByGpu:
    return {
        key: {
            name: one.get(key, {}).get(name, 0) + other.get(key, {}).get(name, 0)
            for name in ("images", *PHASES)
        }
        for key in one.keys() | other.keys()
    }


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
