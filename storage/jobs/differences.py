"""How the planned jobs of a sweep differ from those that are stored under its name."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.job import PlannedJob
from storage.jobs.membership import Known, find_known
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database
from storage.sql.schema import MADE_STATES, sweep_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the planned jobs of a sweep differ from the stored ones.

    Attributes:
        sweep: The sweep's name.
        revision: The stored revision.
        come: Planned jobs that the stored sweep does not want.
        stay: Planned jobs that it wants.
        lost: Stored jobs without an image that are not planned: they leave the sweep.
        kept: Images that are not planned: they stay in the sweep anyway.
    """

    sweep: str
    revision: int
    come: int
    stay: int
    lost: int
    kept: int

    @property
    def stored(self) -> int:
        """Return the number of jobs that are stored."""
        return self.stay + self.lost + self.kept


class Comparison:
    """Counts planned jobs against the stored jobs of a sweep, a batch at a time.

    Workers may go on meanwhile: jobs that they finish may count as unmade, never the
    other way round.
    """

    def __init__(self, database: Database, sweep: Sweep) -> None:
        """Count what is stored.

        Args:
            database: Where the sweep is.
            sweep: The stored sweep.
        """
        self._database = database
        self._sweep = sweep
        self._stored = Counter(count_states(database, sweep))
        self._planned = 0
        self._stay: Counter[str] = Counter()

    @property
    def has_unmade(self) -> bool:
        """Whether the stored sweep has a job without an image."""
        return _unmade(self._stored) > 0

    def add(
        self, connection: Connection, planned: Sequence[PlannedJob]
    ) -> dict[str, Known]:
        """Count a batch of about a thousand jobs; return the rows that exist.

        See `storage.jobs.membership.find_known`.
        """
        known = find_known(connection, planned)
        states = {row.id: row.state for row in known.values()}
        members = sa.select(sweep_jobs.c.job_id).where(
            sweep_jobs.c.sweep_id == self._sweep.id, sweep_jobs.c.job_id.in_(states)
        )
        self._stay.update(states[each] for each in connection.scalars(members))
        self._planned += len(planned)
        return known

    def compare(self, batches: Iterable[Sequence[PlannedJob]]) -> Difference:
        """Count all planned jobs, and return the difference."""
        for batch in batches:
            with self._database.read() as connection:
                self.add(connection, batch)
        return self.result()

    def result(self) -> Difference:
        """Return the difference, once all planned jobs are counted."""
        stay = self._stay.total()
        leave = max(self._stored.total() - stay, 0)
        lost = min(leave, max(_unmade(self._stored) - _unmade(self._stay), 0))
        return Difference(
            sweep=self._sweep.name,
            revision=self._sweep.revision,
            come=self._planned - stay,
            stay=stay,
            lost=lost,
            kept=leave - lost,
        )


def _unmade(states: Counter[str]) -> int:
    return states.total() - sum(states[each] for each in MADE_STATES)
