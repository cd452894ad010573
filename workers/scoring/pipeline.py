"""The scores in a worker's hands: the next are claimed and opened, the last written.

Both happen in threads while a metric measures, which so never waits for SQL or a disk.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from storage.errors import DeviceError, NightsweepError, ScoreError
from storage.scores import score_claims
from storage.scores.score_claims import Outcome, ScoreClaim
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.metrics.metric import Sample
from workers.scoring.opening import open_samples

log = logging.getLogger(__name__)

#: Scores that are claimed before the size of the metric's batches is known.
FIRST_SCORES = 4

Batch = list[tuple[ScoreClaim, Sample | ScoreError]]


class ScorePipeline:
    """Claims scores of one metric batch by batch; use it as a context.

    At its end, all that was measured is written, and the rest is handed back. If the
    device failed, the rest is freed as if it had killed the worker.

    Attributes:
        size: Scores of the next batch, at most.
        written: Scores that were written.
    """

    def __init__(
        self,
        context: Context,
        heartbeat: Heartbeat,
        metric_id: int,
        *,
        may_go_on: Callable[[], bool],
    ) -> None:
        """Claim nothing yet.

        Args:
            context: Where scores are, and who claims them.
            heartbeat: Keeps their leases.
            metric_id: Row of the metric.
            may_go_on: Called before each claim, in another thread.
        """
        self.size = FIRST_SCORES
        self.written = 0
        self._context = context
        self._heartbeat = heartbeat
        self._metric_id = metric_id
        self._may_go_on = may_go_on
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._threads = ThreadPoolExecutor(2, "score")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, _kind: object, exc: object, _trace: object) -> None:
        """Wait for what is written, and let go of the rest."""
        try:
            if exc is None:
                self.settle()
        finally:
            self._threads.shutdown(cancel_futures=True)
            self._let_go(is_suspect=isinstance(exc, DeviceError))

    def batches(self) -> Iterator[Batch]:
        """Yield batches until none is left, or the turn is over.

        A score that was claimed before and not computed is claimed alone, once nothing
        else is in hand: if the worker dies, that score is known to be the cause.
        """
        while batch := self._take(fresh=False):
            while batch:
                is_alone = any(claimed.is_suspect for claimed, _ in batch)
                ahead = None
                if not is_alone:
                    ahead = self._threads.submit(self._take, fresh=True)
                yield batch
                batch = ahead.result() if ahead else []
            self.settle()

    def write(self, outcomes: Sequence[tuple[ScoreClaim, Outcome]]) -> None:
        """Write what came of a batch, soon; raises what the last write raised."""
        self.settle()
        self._writing = self._threads.submit(self._write, outcomes)

    def settle(self) -> None:
        """Wait until all is written that was measured."""
        if self._writing:
            self._writing.result()
            self._writing = None

    def _take(self, *, fresh: bool) -> Batch:
        if not self._may_go_on():
            return []
        taken = self._context.patiently(
            lambda: score_claims.claim(
                self._context.database,
                self._metric_id,
                owner=self._context.owner,
                lease_s=self._context.lease_s,
                limit=self.size,
                fresh=fresh,
                folder_id=self._context.images.id,
            )
        )
        ids = [one.job_id for one in taken]
        self._heartbeat.hold(*ids)
        with self._lock:
            self._held.update(ids)
        return self._context.patiently(
            lambda: [
                *zip(taken, open_samples(self._context.images, taken), strict=True)
            ]
        )

    def _write(self, outcomes: Sequence[tuple[ScoreClaim, Outcome]]) -> None:
        count = self._context.patiently(
            lambda: score_claims.record(
                self._context.database,
                self._metric_id,
                outcomes,
                owner=self._context.owner,
            )
        )
        ids = [one.job_id for one, _ in outcomes]
        with self._lock:
            self._held.difference_update(ids)
        self._heartbeat.let_go(*ids)
        self.written += count

    def _let_go(self, *, is_suspect: bool) -> None:
        """Free what is still held, if the database can be reached."""
        left = list(self._held)
        if not left:
            return
        self._heartbeat.let_go(*left)
        database, owner = self._context.database, self._context.owner
        try:
            if is_suspect:
                score_claims.free_owner(database, owner, died=True)
            else:
                score_claims.hand_back(database, owner=owner, ids=left)
        except NightsweepError as exc:
            log.warning(
                "%d scores wait for their leases to end: %s",
                len(left),
                exc,
                extra={"action": "hand_back_failed"},
            )
