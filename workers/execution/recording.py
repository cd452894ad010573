"""Rows of painted and failed jobs, many in one transaction."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from storage.host.environment import Environment
from storage.jobs.claims import Claim
from storage.jobs.results import Result, record_done, record_failure
from workers.execution.context import Context
from workers.vitals.recent import Recent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job whose files are written.

    Attributes:
        claim: The job.
        result: Its row to be.
        environment: Where it was painted.
    """

    claim: Claim
    result: Result
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that failed.

    Attributes:
        claim: The job.
        error: In a sentence.
    """

    claim: Claim
    error: str


class Recorder:
    """Writes the rows, patiently, and then lets go of the jobs."""

    def __init__(self, context: Context, recent: Recent) -> None:
        """Write nothing yet.

        Args:
            context: Where rows go.
            recent: Counts each failure.
        """
        self._context = context
        self._recent = recent

    def record(self, rows: Sequence[Done | Failed]) -> None:
        """Write rows of one group, the failed ones last.

        Raises:
            StoppedError: The worker was asked to end during an outage.
        """
        group = rows[0].claim.job.group
        done = [row for row in rows if isinstance(row, Done)]
        for environment, results in _by_environment(done):
            record = partial(
                record_done,
                self._context.database,
                results,
                worker=self._context.worker,
                environment=environment,
                owner=self._context.owner,
                folder_id=self._context.images.id,
            )
            self._context.patiently(record)
        for row in rows:
            if isinstance(row, Failed):
                self._record_failure(row)
        self._context.heartbeat.let_go(*(row.claim.id for row in rows))
        for row in done:
            log.info("Stored.", extra={"action": "job_stored", **fields_of(row.claim)})
        if done:
            self._context.patiently(lambda: self._context.lift(group))

    def _record_failure(self, row: Failed) -> None:
        error, about = row.error, fields_of(row.claim)
        self._recent.failed_one()
        log.warning("Failed: %s", error, extra={"action": "job_failed", **about})
        self._context.patiently(
            lambda: record_failure(
                self._context.database,
                row.claim.id,
                owner=self._context.owner,
                error=error,
            )
        )


def fields_of(claim: Claim) -> dict[str, str]:
    """Return the fields of a log line about a job."""
    return {"key": claim.job.key, "sweep": claim.sweep}


def _by_environment(
    done: Sequence[Done],
) -> Iterator[tuple[Environment, dict[int, Result]]]:
    # Usually there is one environment; a strict job beside others makes two.
    def text(row: Done) -> str:
        return repr(row.environment)

    for _, rows in groupby(sorted(done, key=text), key=text):
        same = list(rows)
        yield same[0].environment, {row.claim.id: row.result for row in same}
