"""One submission under way: rows first, then messages, a thousand jobs at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from producer.display.amounts import free_bytes, images, part_of, size
from producer.display.disk_room import look_at_disk, too_few_inodes
from producer.display.messages import talk
from producer.expansion.expand import Expansion
from producer.expansion.ordering import ranked_batches
from producer.options import program
from producer.running.budget_text import describe_budget
from producer.running.quota_text import warn_of_quota
from producer.scoring.request_report import describe_requests
from producer.scoring.requests import Requests
from producer.spec.sweepfile import Spec
from producer.submission.min_free import warn_of_min_free
from producer.submission.opening import by_group
from storage.broker.embedded import broker_url
from storage.broker.queue import make_app, send, send_scores, waiting
from storage.files.inputs import InputFolder
from storage.host.worker_ids import my_host
from storage.jobs import blocked_groups, lifecycle, membership, sweep_counts, sweeps
from storage.jobs.budgets import Budget, find_budget
from storage.jobs.completeness import find_incomplete, note_complete
from storage.jobs.quotas import find_quota
from storage.jobs.sweeps import NORMAL_PRIORITY, Sweep
from storage.scores.score_counts import count_open, pending_metrics
from storage.settings import Settings
from storage.sql.database import Database

if TYPE_CHECKING:
    from celery import Celery


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission did.

    Attributes:
        sweep: The sweep, with its revision.
        total: Jobs that the sweep wants.
        whole: Jobs that it would want without `sample`.
        new: Jobs among them that did not exist before.
        existing: State to count, for the jobs that existed before.
        dropped: Unfinished jobs of an earlier revision that left the sweep.
        retried: Failed jobs that are tried again.
        was: State of the sweep before; `active` if it is new.
        warnings: Sentences for the person who submitted.
        taken: A sentence about what was chosen where the file says nothing; else None.
        scores: Sentences about the scores that the sweep asks for.
        open_scores: Scores of its images that workers are to compute, now or later.
        budget: What stops it before all is made; None for nothing.
    """

    sweep: Sweep
    total: int
    whole: int
    new: int
    existing: dict[str, int]
    dropped: int
    retried: int
    was: str = "active"
    warnings: tuple[str, ...]
    taken: str | None = None
    scores: Sequence[str] = ()
    open_scores: int = 0
    budget: Budget | None = None

    @property
    def unmade(self) -> int:
        """Jobs that workers are to make now."""
        waiting = self.existing.get("pending", 0) + self.existing.get("leased", 0)
        return self.new + waiting + self.retried

    @property
    def failed(self) -> int:
        """Jobs that failed before, and are not tried again."""
        before = self.existing.get("failed", 0) + self.existing.get("quarantined", 0)
        return before - self.retried


@contextmanager
def submission_to(
    database: Database,
    where: Settings,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator["Submission"]:
    """Open the queue for a submission, and close it at the end of the block.

    Args:
        database: Where jobs are stored.
        where: The settings.
        progress: Called with the number of jobs stored so far, and of all jobs.

    Raises:
        QueueError: Redis cannot be reached; nothing was stored.
    """
    with closing(make_app(broker_url(where))) as app:
        waiting(app)  # fails before a row is written if Redis is away
        yield Submission(database, app, where, progress)


class Submission:
    """One submission, under way."""

    def __init__(
        self,
        database: Database,
        app: "Celery",
        where: Settings,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        """Store nothing yet; see `submission_to`."""
        self._database = database
        self._app = app
        self._images = where.images
        self._owner = where.user
        self._progress = progress or (lambda _done, _all: None)
        self._priority = NORMAL_PRIORITY

    def go_on(self, sweep: Sweep, *, why: str, retry: bool) -> Submitted:
        """Make a sweep active with just the jobs that are stored.

        Args:
            sweep: The sweep.
            why: Why its spec is not read again, as the end of a sentence.
            retry: Whether failed jobs are tried again.
        """
        self._priority = sweep.priority
        self._send(lifecycle.set_state(self._database, sweep, "active").woken)
        blocked_groups.lift_all(self._database)
        stored = sweep_counts.count_states(self._database, sweep)
        total = sum(stored.values())
        note = f"{sweep.name} goes on with the {images(total)} that are stored: {why}"
        return Submitted(
            sweep=sweep,
            total=total,
            whole=total,
            new=0,
            existing=stored,
            dropped=0,
            retried=self._retry(sweep) if retry else 0,
            was=sweep.state,
            warnings=(
                note,
                *self._cut_off(sweep),
                *self._warn_of_quota(sweep, stored.get("pending", 0)),
            ),
            open_scores=count_open(self._database, sweep_id=sweep.id),
            budget=find_budget(self._database, sweep.id),
        )

    def run(
        self,
        expansion: Expansion,
        *,
        requests: Requests,
        seen: int | None = None,
        retry: bool,
    ) -> Submitted:
        """Store every job, and send the new ones.

        The submission that stored the other jobs sent them. Supervisors of workers
        send what it did not get to send, and what Redis lost.

        Args:
            expansion: The jobs.
            requests: Asks for the scores of the sweep.
            seen: The revision that the new one is to follow; see `save_sweep`.
            retry: Whether failed jobs are tried again.

        Raises:
            ChangedSweepError: Another revision was stored since; nothing was changed.
            UsageError: The time at which it is to stop is over; likewise.
        """
        spec = expansion.spec
        limits = spec.stop.limits()
        folder = InputFolder(self._images)
        for image in expansion.inputs:
            image.copy_to(folder)
        before = sweeps.find_sweep(self._database, spec.name)
        sweep = sweeps.save_sweep(
            self._database,
            spec.name,
            spec=spec.text,
            axes=expansion.axis_labels,
            meanings=expansion.what_is_meant,
            min_free_bytes=spec.min_free_bytes,
            seen=seen,
            submitting=expansion.count,
            limits=limits,
            owner=self._owner,
        )
        for image in expansion.inputs:
            if not folder.note_use(image.digest):  # `prune` was faster than the sweep
                image.copy_to(folder)
        self._priority = sweep.priority
        self._send(lifecycle.settle(self._database, sweep).woken)
        blocked_groups.lift_all(self._database)
        new, existing = 0, Counter[str]()
        for batch in ranked_batches(expansion):
            added = membership.add_jobs(self._database, sweep, batch)
            self._send(by_group([*added.fresh, *requests.add(sweep, batch)]))
            new += len(added.fresh)
            existing.update(added.existing)
            self._progress(batch[-1].position + 1, expansion.count)
        dropped = membership.drop_absent(self._database, sweep)
        note_complete(self._database, sweep)
        self._send_scores(requests)
        return Submitted(
            sweep=sweep,
            total=expansion.count,
            whole=expansion.whole,
            new=new,
            existing=dict(existing),
            dropped=dropped,
            retried=self._retry(sweep) if retry else 0,
            was=before.state if before else "active",
            warnings=(
                *expansion.duplicates,
                *expansion.warnings,
                *self._full(spec, new),
                *self._warn_of_quota(sweep, new + existing["pending"]),
            ),
            taken=expansion.taken,
            scores=tuple(describe_requests(requests)),
            open_scores=count_open(self._database, sweep_id=sweep.id),
            budget=find_budget(self._database, sweep.id),
        )

    def _full(self, spec: Spec, new: int) -> Iterator[str]:
        if not isinstance(self._images, Path):
            yield from warn_of_min_free(spec, self._images)
            return
        free = free_bytes(self._images)
        if free < spec.min_free_bytes:
            yield (
                f"{size(free)} is free where images go, and "
                f"{size(spec.min_free_bytes)} should stay free (limits.min_free); make "
                "room, or set NIGHTSWEEP_IMAGES to a larger disk"
            )
        yield from too_few_inodes(new, look_at_disk(self._images))

    def _warn_of_quota(self, sweep: Sweep, unmade: int) -> Iterator[str]:
        """Warn by what the images of the sweep's owner took so far."""
        quota = find_quota(self._database, sweep.owner)
        if quota:
            needed_s = quota.total_s / quota.total * unmade if quota.total else None
            yield from warn_of_quota(self._database, sweep.owner, needed_s=needed_s)

    def _cut_off(self, sweep: Sweep) -> Iterator[str]:
        incomplete = find_incomplete(self._database, sweep)
        if incomplete:
            yield (
                f"{sweep.name} has {incomplete.stored:,} of its "
                f"{images(incomplete.wanted)}, since its submission was cut off or is "
                "still at work; submit its file to store the rest"
            )

    def _retry(self, sweep: Sweep) -> int:
        again = sweeps.retry(self._database, sweep)
        self._send(again)
        return sum(map(len, again.values()))

    def _send_scores(self, requests: Requests) -> None:
        if requests.tallies:
            pending = pending_metrics(self._database, host=my_host())
            send_scores(self._app, {each.digest: each.messages for each in pending})

    def _send(self, groups: Mapping[str, Sequence[str]]) -> None:
        if groups:
            send(self._app, groups, priority=self._priority)


def describe_submission(done: Submitted) -> list[str]:
    """Say in sentences what a submission did."""
    sweep = done.sweep
    made = done.existing.get("done", 0)
    revision = f" (revision {sweep.revision})" if sweep.revision > 1 else ""
    # If no other jobs wait, the new ones are all that there is to make.
    left = f"; {done.unmade:,} to make" if done.unmade != done.new else ""
    lines = [
        f"{sweep.name}{revision}: {part_of(done.total, done.whole)}, {done.new:,} new, "
        f"{made:,} made already{left}.",
    ]
    if done.taken:
        lines.append(done.taken)
    lines += done.scores
    if done.budget:
        lines.append(f"{sweep.name} stops {describe_budget(done.budget)}.")
    if done.was != "active":
        lines.append(f"{sweep.name} was {done.was}; it is active again.")
    if done.dropped:
        lines.append(f"{images(done.dropped)} that were unmade left the sweep.")
    if done.retried:
        lines.append(f"{images(done.retried)} that failed are tried again.")
    if gone := done.existing.get("evicted", 0):
        lines.append(
            f"{images(gone)} were made and removed; "
            f"`{program()} retry {sweep.name} --evicted` makes them again."
        )
    if done.failed > 0:
        lines.append(
            f"{images(done.failed)} failed before; add --retry-failed to try again."
        )
    return lines


def tell(done: Submitted) -> None:
    """Print what a submission did, and its warnings, on standard error."""
    for warning in done.warnings:
        talk(f"Warning: {warning}.")
    for line in describe_submission(done):
        talk(line)
