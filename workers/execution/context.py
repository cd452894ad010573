"""What a worker process brings to every turn, and its patience with outages."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from storage.errors import (
    DatabaseError,
    DeviceError,
    NightsweepError,
    UnfitError,
    WrongPlaceError,
    in_words,
)
from storage.files.images import ImageFolder
from storage.host.worker_ids import my_host
from storage.job import TORCH
from storage.jobs import blocked_groups, claims
from storage.jobs.claims import Claim
from storage.sql.database import Database
from workers.execution.heartbeat import Heartbeat
from workers.painting import StoppedError
from workers.vitals import outages, phases

log = logging.getLogger(__name__)

#: Seconds between attempts while the disk or the database is away.
OUTAGE_PAUSE_S = 2.0
#: Attempts at a job, the last of them alone, after which its group waits.
MANY_SURPRISES = 3
#: Errors that end the work on a group; any other is a job's, or unforeseen.
ENDINGS = (StoppedError, UnfitError, DeviceError, WrongPlaceError)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a worker process brings to every turn; its threads share it.

    Attributes:
        database: Where jobs are claimed and results go.
        images: Where files go.
        heartbeat: What keeps the claims meanwhile.
        owner: This worker's name in claims.
        worker: Its name for people.
        host: Its machine, for people.
        lease_s: Seconds that a claim lasts without a heartbeat.
        should_stop: Whether the worker was asked to end.
        peers: Workers that its supervisor has, itself included.
        savers: Threads that turn what is painted into files.
        puts: Files that may be on their way to a bucket beside them; 0 for a folder.
        backend: What it paints with; it leaves jobs of other back ends alone.
    """

    database: Database
    images: ImageFolder
    heartbeat: Heartbeat
    owner: str
    worker: str
    lease_s: float
    should_stop: Callable[[], bool]
    peers: int = 1
    savers: int = 1
    puts: int = 0
    backend: str = TORCH
    host: str = field(default_factory=my_host)

    def check(self) -> None:
        """Raise `StoppedError` if the worker was asked to end; the call is progress."""
        phases.progress()
        if self.should_stop():
            raise StoppedError

    def patiently(
        self,
        act: Callable[[], Answer],
        *,
        check: Callable[[], None] | None = None,
    ) -> Answer:
        """Call `act`, and repeat it while the disk or the database is away.

        No image is given up because of the machine, and the heartbeat goes on.

        Args:
            act: What may fail with an error that is `retryable`.
            check: Raises `StoppedError` to give up; `Context.check` by default.

        Raises:
            StoppedError: The worker was asked to end during an outage.
        """
        return patiently(act, check=check or self.check)

    def block(self, group: str, reason: str) -> None:
        """Note why this worker cannot make a group; it then leaves the group alone.

        Raises:
            DatabaseError: SQL cannot be reached.
        """
        blocked_groups.block(
            self.database, group, host=self.host, worker=self.worker, reason=reason
        )

    def lift(self, group: str) -> None:
        """Note that this worker makes a group; raises as `block` does."""
        blocked_groups.lift(self.database, group, host=self.host, worker=self.worker)

    def is_resting(self) -> Callable[[str], bool]:
        """Return a predicate: whether this worker leaves a group alone for now."""
        found, me = blocked_groups.resting(self.database), (self.host, self.worker)
        return lambda group: me in found.get(group, ())

    def suspect(self, taken: Sequence[Claim], error: DeviceError) -> None:
        """Hand back jobs that a device failed with, to be claimed last, and then alone.

        If it fails again and again with one job alone, the job's group is blocked, and
        others go on.
        """
        self.hand_back([claim.id for claim in taken], suspected=True)
        if len(taken) == 1 and taken[0].attempts >= MANY_SURPRISES:
            with suppress(DatabaseError):
                self.block(taken[0].job.group, str(error))

    def hand_back(self, ids: Collection[int], *, suspected: bool = False) -> None:
        """Hand claimed jobs back unmade, if the database can be reached.

        Args:
            ids: Their rows.
            suspected: See `claims.hand_back`.
        """
        if not ids:
            return
        # Let go first: a lease that nobody renews ends, even if the hand-back fails.
        self.heartbeat.let_go(*ids)
        try:
            claims.hand_back(
                self.database, owner=self.owner, ids=ids, suspected=suspected
            )
        except NightsweepError as exc:
            log.warning(
                "%d jobs wait for their leases to end: %s",
                len(ids),
                exc,
                extra={"action": "hand_back_failed"},
            )


def patiently(act: Callable[[], Answer], *, check: Callable[[], None]) -> Answer:
    """Call `act`, and repeat it while the disk or the database is away.

    Args:
        act: What may fail with an error that is `retryable`.
        check: Raises an error to give up.
    """
    try:
        return act()
    except NightsweepError as exc:
        if not exc.retryable:
            raise
        error = exc
    with outages.waiting(error), phases.during(phases.WAITING, str(error)):
        while True:
            check()
            time.sleep(OUTAGE_PAUSE_S)
            try:
                return act()
            except NightsweepError as exc:
                if not exc.retryable:
                    raise


def ending(exc: Exception) -> Exception:
    """Return the error that ends the painter's thread when another thread failed."""
    if isinstance(exc, ENDINGS):
        return exc
    log.error("A thread failed.", exc_info=exc, extra={"action": "thread_failed"})
    msg = f"A worker's threads must go on, but one ended: {in_words(exc)}"
    return DeviceError(msg)
