"""A turn at the GPU: one message's worth of work, and what is like it.

A message names some jobs. They are claimed a few at a time; when all are taken, the
turn goes on with other jobs of the same group straight from SQL, until there are none
or the time is up. So it matters little how a sweep was cut into messages.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from storage import blocks, claims
from storage.claims import Claim
from storage.database import Database, utc_now
from storage.errors import (
    DatabaseError,
    DeviceError,
    JobError,
    NightsweepError,
    UnfitError,
)
from storage.images import ImageFolder, relative_path
from storage.results import Result, Timings, record_done, record_failure
from workers.beat import Beat
from workers.encode import encode_png, pixel_sha256
from workers.painting import Painter, Painting, StoppedError

log = logging.getLogger(__name__)

#: Jobs that a worker claims at once. Few, so that the end of a sweep is shared.
CLAIM = 4
#: Seconds after which a turn ends, to let other groups and more urgent jobs in.
TURN_S = 600.0
#: Seconds for which a worker leaves a group alone that it could not make.
ASIDE_S = 60.0
#: Unforeseen errors in a row after which a worker no longer trusts its device.
MOST_SURPRISES = 3
#: Seconds between attempts while the disk or the database is away.
PAUSE_S = 2.0

Answer = TypeVar("Answer")


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a worker process brings to every turn.

    Attributes:
        database: Where jobs are claimed and results go.
        images: Where files go.
        painter: What makes the pictures.
        beat: What keeps the claims meanwhile.
        owner: This worker's name in claims.
        worker: Its name for people.
        lease_s: Seconds that a claim lasts without a beat.
        should_stop: Whether the worker was asked to end.
    """

    database: Database
    images: ImageFolder
    painter: Painter
    beat: Beat
    owner: str
    worker: str
    lease_s: float
    should_stop: Callable[[], bool]
    _aside: dict[str, float] = field(default_factory=dict)
    _surprises: int = 0
    _group: str = ""

    def take(self, keys: Sequence[str]) -> None:
        """Make the jobs of `keys`, then others of their group.

        A group that this worker cannot make is set aside for a while: its jobs go
        back, people are told why, and the next message is another group's.

        Raises:
            StoppedError: The worker was asked to end; unmade jobs went back.
            DeviceError: The device is of no more use; unmade jobs went back.
        """
        group = self._patiently(lambda: claims.group_of(self.database, keys))
        if not group or self._aside.get(group, 0.0) > time.monotonic():
            return
        self._group = group
        try:
            self._make_group(group, keys)
        except UnfitError as exc:
            self._set_aside(group, str(exc))

    def _make_group(self, group: str, keys: Sequence[str]) -> None:
        ends = time.monotonic() + TURN_S
        while time.monotonic() < ends:
            taken = self._claim(keys=keys) or self._claim(group=group)
            if not taken:
                return
            self._make_all(taken)
            self._patiently(lambda: blocks.lift(self.database, group))

    def _set_aside(self, group: str, reason: str) -> None:
        log.error("%s", reason, extra={"action": "group_blocked"})
        self._aside[group] = time.monotonic() + ASIDE_S
        self._tell(reason)

    def _claim(
        self, *, keys: Sequence[str] = (), group: str | None = None
    ) -> list[Claim]:
        taken = self._patiently(
            lambda: claims.claim(
                self.database,
                owner=self.owner,
                lease_s=self.lease_s,
                limit=CLAIM,
                keys=keys,
                group=group,
            )
        )
        self.beat.hold(*(claim.id for claim in taken))
        return taken

    def _make_all(self, taken: Sequence[Claim]) -> None:
        left = {claim.id for claim in taken}
        try:
            for claim in taken:
                self._check()
                if not self.beat.has_lost(claim.id):
                    self._make(claim)
                left.discard(claim.id)
                self.beat.let_go(claim.id)
        finally:
            # Let go first: a lease that nobody renews ends, whatever comes of this.
            self.beat.let_go(*left)
            self._hand_back(left)

    def _hand_back(self, ids: set[int]) -> None:
        if not ids:
            return
        try:
            claims.hand_back(self.database, owner=self.owner, ids=ids)
        except NightsweepError as exc:
            log.warning(
                "%d jobs wait for their leases to end: %s",
                len(ids),
                exc,
                extra={"action": "hand_back_failed"},
            )

    def _make(self, claim: Claim) -> None:
        claimed_at = datetime.now(UTC)
        try:
            painting = self.painter.paint(claim.job, check=self._check)
            self._keep(claim, painting, claimed_at)
        except (StoppedError, UnfitError, DeviceError):
            raise
        except JobError as exc:
            self._fail(claim, str(exc))
        except Exception as exc:
            log.exception(
                "Job %s failed.", claim.job.key, extra={"action": "job_failed"}
            )
            self._distrust(claim, f"{type(exc).__name__}: {exc}")
        else:
            self._surprises = 0

    def _distrust(self, claim: Claim, error: str) -> None:
        # One unforeseen error may be the job's fault; a row of them is the machine's.
        self._surprises += 1
        if self._surprises >= MOST_SURPRISES:
            msg = (
                f"{self._surprises} jobs in a row failed unforeseen, the last: {error}"
            )
            raise DeviceError(msg)
        self._fail(claim, error)

    def _keep(self, claim: Claim, painting: Painting, claimed_at: datetime) -> None:
        # File, then row: a row that says "done" has its picture.
        job, started = claim.job, time.perf_counter()
        content = encode_png(painting.image, job)
        self._patiently(lambda: self.images.save(job.key, content))
        result = Result(
            path=relative_path(job.key),
            size_bytes=len(content),
            pixel_sha256=pixel_sha256(painting.image),
            evaluations=painting.evaluations,
            timings=Timings(
                queue_s=_seconds_since(claim.created_at, claimed_at),
                load_s=painting.load_s,
                encode_s=painting.encode_s,
                denoise_s=painting.denoise_s,
                decode_s=painting.decode_s,
                save_s=time.perf_counter() - started,
            ),
            peak_bytes=painting.peak_bytes,
            warm_up=painting.warm_up,
            finished_at=utc_now(),
        )
        self._patiently(
            lambda: record_done(
                self.database,
                {claim.id: result},
                worker=self.worker,
                environment=painting.environment,
            )
        )
        log.info("Stored %s.", job.key, extra={"action": "job_stored"})

    def _fail(self, claim: Claim, error: str) -> None:
        log.warning(
            "Job %s failed: %s", claim.job.key, error, extra={"action": "job_failed"}
        )
        self._patiently(
            lambda: record_failure(
                self.database, claim.id, owner=self.owner, error=error
            )
        )

    def _check(self) -> None:
        if self.should_stop():
            raise StoppedError

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        """Do it, and while the disk or the database is away, do it again.

        An image is never given up for the machine's sake; the beat goes on meanwhile.
        """
        warned = False
        while True:
            try:
                answer = act()
            except NightsweepError as exc:
                if not exc.retryable:
                    raise
                if not warned:
                    log.warning("Waiting: %s", exc, extra={"action": "outage_began"})
                    self._tell(f"waiting: {exc}")
                warned = True
                self._check()
                time.sleep(PAUSE_S)
            else:
                if warned:
                    log.warning("Going on.", extra={"action": "outage_ended"})
                return answer

    def _tell(self, reason: str) -> None:
        """Note for people what holds the group in hand up; lifted with its images."""
        with suppress(DatabaseError):
            blocks.block(self.database, self._group, worker=self.worker, reason=reason)


def _seconds_since(then: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(then)).total_seconds()
