"""A turn for scores: the pending scores of one metric, as long as no image waits."""

import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import (
    DeviceError,
    MetricError,
    NightsweepError,
    ScoreError,
    UnfitError,
)
from storage.jobs import claims
from storage.models.fingerprint import Digests
from storage.scores import score_claims
from storage.scores.identities import AskedMetric, find_metric
from storage.scores.score_claims import Outcome, ScoreClaim
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.metrics import registry
from workers.metrics.measuring import measure
from workers.metrics.metric import Metric, Sample
from workers.scoring.opening import open_sample, require_numpy
from workers.scoring.own_files import require_own_file
from workers.vitals import phases

log = logging.getLogger(__name__)

#: Seconds after which a turn ends, to let other metrics in.
SCORE_TURN_S = 600.0
#: Scores that are claimed before the size of the metric's batches is known.
FIRST_SCORES = 8
#: Batches that are claimed at once: one is opened while the other is measured.
BATCHES = 2

_Opened = Sample | ScoreError


@dataclass(slots=True, kw_only=True)
class ScoreTurn:
    """Takes the messages about scores of a worker process, one after the other.

    Images come first: a turn ends as soon as one waits that this worker could make.

    Attributes:
        context: What the process works with.
        heartbeat: Keeps the leases of scores; that of the context keeps those of jobs.
        device: Where metrics compute: `cpu`, `cuda:0` and so on.
        threads: Threads on a CPU.
        digests: File in which digests of networks are remembered.
    """

    context: Context
    heartbeat: Heartbeat
    device: str
    threads: int = 1
    digests: Path
    #: The metric that was used last, by its digest.
    _loaded: tuple[str, Metric] | None = None
    _said: dict[str, str] = field(default_factory=dict)

    def take(self, digest: str) -> None:
        """Compute pending scores of a metric.

        A metric that this worker cannot compute is set aside for a while, as a group
        of jobs is: its scores go back, and people are told why.

        Raises:
            StoppedError: The worker was asked to end; scores in hand went back.
            DeviceError: The device is of no more use; scores in hand went back.
        """
        found = self.context.patiently(
            lambda: find_metric(self.context.database, digest)
        )
        if found is None:
            return
        metric_id, asked = found
        ends = time.monotonic() + SCORE_TURN_S
        with self.heartbeat.during():
            while time.monotonic() < ends and self._may_go_on(asked):
                taken = self._claim(metric_id, asked)
                if not taken or not self._compute(metric_id, asked, taken):
                    return

    def release(self) -> None:
        """Forget the metric that was used last; images need the memory."""
        self._loaded = None

    def _may_go_on(self, asked: AskedMetric) -> bool:
        """Return whether no image waits, and the metric is not set aside."""

        def look() -> bool:
            is_resting = self.context.is_resting()
            waiting = claims.runnable_groups(self.context.database)
            return not is_resting(asked.block_key) and all(
                is_resting(group.key) for group in waiting
            )

        return self.context.patiently(look)

    def _claim(self, metric_id: int, asked: AskedMetric) -> list[ScoreClaim]:
        loaded = self._loaded
        is_loaded = loaded is not None and loaded[0] == asked.digest
        size = loaded[1].batch_size if loaded and is_loaded else FIRST_SCORES // BATCHES
        taken = self.context.patiently(
            lambda: score_claims.claim(
                self.context.database,
                metric_id,
                owner=self.context.owner,
                lease_s=self.context.lease_s,
                limit=BATCHES * size,
                folder_id=self.context.images.id,
            )
        )
        self.heartbeat.hold(*(one.job_id for one in taken))
        return taken

    def _compute(
        self, metric_id: int, asked: AskedMetric, taken: Sequence[ScoreClaim]
    ) -> bool:
        """Compute claimed scores; return False if the metric was set aside."""
        left = {one.job_id: one for one in taken}
        try:
            with phases.during(phases.LOADING, asked.model or asked.name):
                metric = self._load(asked)
            with phases.during(phases.SCORING, asked.name):
                self._measure_all(metric_id, metric, taken, left)
        except UnfitError as exc:
            self._set_aside(asked, str(exc))
            return False
        except DeviceError:
            self._suspect(left)
            raise
        finally:
            self._hand_back(left)
        self._lift(asked)
        return True

    def _load(self, asked: AskedMetric) -> Metric:
        if self._loaded and self._loaded[0] == asked.digest:
            return self._loaded[1]
        self._loaded = None  # its memory is free before the next one is loaded
        require_numpy()
        require_own_file(asked.source, self.context.images.root)
        metric = registry.load(
            asked.source,
            model=asked.model,
            device=self.device,
            planned=asked.model_fingerprint or None,
            digests=Digests(self.digests),
        )
        if metric.version != asked.version:
            msg = (
                f"{asked.name} must be of version {asked.version}, as it was asked for,"
                f" but {metric.version} is installed here; install that version, or ask"
                " for the scores of this one"
            )
            raise MetricError(msg)
        self._loaded = (asked.digest, metric)
        if self.device == "cpu" and (torch := sys.modules.get("torch")):
            torch.set_num_threads(self.threads)
        return metric

    def _measure_all(
        self,
        metric_id: int,
        metric: Metric,
        taken: Sequence[ScoreClaim],
        left: dict[int, ScoreClaim],
    ) -> None:
        """Measure batch by batch; what is written leaves `left`."""
        size = metric.batch_size
        batches = [taken[start : start + size] for start in range(0, len(taken), size)]
        with ThreadPoolExecutor(1, "open") as opener:
            opening = [opener.submit(self._open, batch) for batch in batches]
            try:
                for batch, opened in zip(batches, opening, strict=True):
                    self._measure(metric_id, metric, batch, self._await(opened))
                    for one in batch:
                        del left[one.job_id]
                    self.heartbeat.let_go(*(one.job_id for one in batch))
            finally:
                opener.shutdown(cancel_futures=True)

    def _await(self, opened: "Future[list[_Opened]]") -> list[_Opened]:
        self.context.check()
        return opened.result()

    def _open(self, batch: Sequence[ScoreClaim]) -> list[_Opened]:
        return self.context.patiently(
            lambda: [open_sample(self.context.images, one) for one in batch]
        )

    def _measure(
        self,
        metric_id: int,
        metric: Metric,
        batch: Sequence[ScoreClaim],
        opened: Sequence[_Opened],
    ) -> None:
        """Measure one batch, and write what came of it."""
        samples = [one for one in opened if isinstance(one, Sample)]
        measured = iter(measure(metric, samples))
        outcomes = [
            (one, _outcome(next(measured) if isinstance(what, Sample) else what))
            for one, what in zip(batch, opened, strict=True)
        ]
        count = self.context.patiently(
            lambda: score_claims.record(
                self.context.database, metric_id, outcomes, owner=self.context.owner
            )
        )
        log.info(
            "Scored %d images by %s.",
            count,
            metric.name,
            extra={"action": "scores_stored"},
        )

    def _set_aside(self, asked: AskedMetric, reason: str) -> None:
        if self._said.get(asked.digest) != reason:
            log.error("%s", reason, extra={"action": "metric_blocked"})
        self._said[asked.digest] = reason
        self.context.patiently(lambda: self.context.block(asked.block_key, reason))

    def _lift(self, asked: AskedMetric) -> None:
        self._said.pop(asked.digest, None)
        self.context.patiently(lambda: self.context.lift(asked.block_key))

    def _suspect(self, left: dict[int, ScoreClaim]) -> None:
        """Free the scores that the device failed with, as if they had killed it."""
        self.heartbeat.let_go(*left)
        left.clear()
        self.context.patiently(
            lambda: score_claims.free_owner(
                self.context.database, self.context.owner, died=True
            )
        )

    def _hand_back(self, left: dict[int, ScoreClaim]) -> None:
        """Hand unmeasured scores back, if the database can be reached."""
        if left:
            self.heartbeat.let_go(*left)
            try:
                score_claims.hand_back(
                    self.context.database, owner=self.context.owner, ids=left
                )
            except NightsweepError as exc:
                log.warning(
                    "%d scores wait for their leases to end: %s",
                    len(left),
                    exc,
                    extra={"action": "hand_back_failed"},
                )


def _outcome(found: float | ScoreError) -> Outcome:
    if isinstance(found, ScoreError):
        return Outcome(error=str(found))
    return Outcome(value=found)
