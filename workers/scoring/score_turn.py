"""A turn for scores: the pending scores of one metric, as long as no image waits."""

import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import (
    MetricError,
    ScoreError,
    UnfitError,
)
from storage.jobs.runnable_groups import runnable_groups
from storage.models.fingerprint import Digests
from storage.scores.identities import ResolvedMetric, find_metric
from storage.scores.score_claims import Outcome
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.metrics import registry
from workers.metrics.measuring import measure
from workers.metrics.metric import Metric, Sample
from workers.scoring.opening import require_numpy
from workers.scoring.own_files import require_own_file
from workers.scoring.pipeline import Batch, ScorePipeline
from workers.vitals import phases

log = logging.getLogger(__name__)

#: Seconds after which a turn ends, to let other metrics in.
SCORE_TURN_S = 600.0
#: Seconds of measuring for which scores are claimed, and the most of them.
CLAIMED_S = 1.0
MOST_CLAIMED = 256


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
        pipeline = ScorePipeline(
            self.context,
            self.heartbeat,
            metric_id,
            may_go_on=lambda: time.monotonic() < ends and self._may_go_on(asked),
        )
        try:
            with self.heartbeat.during(), pipeline:
                for batch in pipeline.batches():
                    self._compute(asked, batch, pipeline)
        except UnfitError as exc:
            self._set_aside(asked, str(exc))
        if pipeline.written:
            self._lift(asked)
            log.info(
                "Scored %d images by %s.",
                pipeline.written,
                asked.name,
                extra={"action": "scores_stored"},
            )

    def release(self) -> None:
        """Forget the metric that was used last; images need the memory."""
        self._loaded = None

    def _may_go_on(self, asked: ResolvedMetric) -> bool:
        """Return whether no image waits, and the metric is not set aside."""

        def look() -> bool:
            is_resting = self.context.is_resting()
            context = self.context
            waiting = runnable_groups(context.database, context.backend)
            return not is_resting(asked.block_key) and all(
                is_resting(group.key) for group in waiting
            )

        return self.context.patiently(look)

    def _compute(
        self, asked: ResolvedMetric, batch: Batch, pipeline: ScorePipeline
    ) -> None:
        """Measure a batch, and have what came of it written."""
        metric = self._load(asked)
        self.context.check()
        began = time.monotonic()
        with phases.during(phases.SCORING, asked.name):
            samples = [one for _, one in batch if isinstance(one, Sample)]
            measured = iter(measure(metric, samples))
        elapsed_s = max(time.monotonic() - began, 1e-3)
        pipeline.size = _next_size(metric, len(batch) / elapsed_s)
        pipeline.write(
            [
                (one, _outcome(next(measured) if isinstance(what, Sample) else what))
                for one, what in batch
            ]
        )

    def _load(self, asked: ResolvedMetric) -> Metric:
        if self._loaded and self._loaded[0] == asked.digest:
            return self._loaded[1]
        self._loaded = None  # its memory is free before the next one is loaded
        with phases.during(phases.LOADING, asked.model or asked.name):
            metric = self._load_anew(asked)
        self._loaded = (asked.digest, metric)
        if self.device == "cpu" and (torch := sys.modules.get("torch")):
            torch.set_num_threads(self.threads)
        return metric

    def _load_anew(self, asked: ResolvedMetric) -> Metric:
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
        return metric

    def _set_aside(self, asked: ResolvedMetric, reason: str) -> None:
        if self._said.get(asked.digest) != reason:
            log.error("%s", reason, extra={"action": "metric_blocked"})
        self._said[asked.digest] = reason
        self.context.patiently(lambda: self.context.block(asked.block_key, reason))

    def _lift(self, asked: ResolvedMetric) -> None:
        self._said.pop(asked.digest, None)
        self.context.patiently(lambda: self.context.lift(asked.block_key))


def _next_size(metric: Metric, rate: float) -> int:
    """Return how many scores to claim next: whole batches, for `CLAIMED_S`."""
    batches = int(min(rate * CLAIMED_S, MOST_CLAIMED) // metric.batch_size)
    return metric.batch_size * max(batches, 1)


def _outcome(found: float | ScoreError) -> Outcome:
    if isinstance(found, ScoreError):
        return Outcome(error=str(found))
    return Outcome(value=found)
