"""Submitting a sweep: rows first, then messages, a thousand jobs at a time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.amounts import free_bytes, images, size
from producer.expansion.expand import Expansion, read_jobs
from producer.hashing import tell_hashing
from producer.models import describe
from producer.options import retry_option, spec_options
from producer.precision import settle_precision
from producer.spec.sweepfile import Spec
from producer.spec.yamltext import Source, read_once
from storage import blocks, life, sweeps, wishes
from storage.database import Database, open_database
from storage.embedded import broker_url
from storage.fingerprint import Digests
from storage.job import PlannedJob
from storage.queue import make_app, send, waiting
from storage.settings import Settings, read_settings
from storage.sweeps import NORMAL_PRIORITY, Sweep

if TYPE_CHECKING:
    from celery import Celery

#: Jobs in one transaction, and in one round of messages.
BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission did.

    Attributes:
        sweep: The sweep, with its revision.
        total: Jobs that the sweep wants.
        new: Those that did not exist before.
        existing: States of the others, to their counts.
        dropped: Unfinished jobs of an earlier revision that left the sweep.
        retried: Failed ones that are tried again.
        was: What the sweep was before; `active` where it is new.
        warnings: Sentences for the person who submitted.
        taken: A sentence about what was taken where the file says nothing; else None.
    """

    sweep: Sweep
    total: int
    new: int
    existing: dict[str, int]
    dropped: int
    retried: int
    was: str = "active"
    warnings: tuple[str, ...]
    taken: str | None = None

    @property
    def failed(self) -> int:
        """Jobs that failed before, and are not tried again."""
        before = self.existing.get("failed", 0) + self.existing.get("quarantined", 0)
        return before - self.retried


def submit(  # noqa: PLR0913 - what can be asked is its interface
    source: str | Source,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    settings: Settings | None = None,
    retry_failed: bool = False,
    for_cpu: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Submitted:
    """Submit a sweep file; safe to repeat, and to break off at any moment.

    A sweep that is paused or cancelled becomes active again.

    Args:
        source: A YAML or JSON file, `-` for standard input, or a stored spec.
        sets: Values of `--set`, such as `base.width=768`.
        axes: Values of `--axis`, such as `steps=8,12,20` or `steps+=40`.
        settings: Where to; by default what the environment says.
        retry_failed: Whether jobs that failed before are tried again.
        for_cpu: Whether a machine without a GPU is to make it, in float32 where a new
            sweep names no precision.
        progress: Called with the jobs stored so far, and all.

    Raises:
        SpecError: The file has mistakes; nothing was stored.
        DatabaseError: SQL cannot be reached.
        QueueError: Redis cannot be reached; repeat the call when it is back.
    """
    where = settings or read_settings()
    given = _source_of(source)
    expansion = settle_precision(
        lambda *more: expand_for(where, given, sets=(*sets, *more), axes=axes),
        partial(_find_stored, where),
        for_cpu=for_cpu,
    )
    return submit_jobs(expansion, where, retry_failed=retry_failed, progress=progress)


def expand_for(
    where: Settings,
    source: Source,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
) -> Expansion:
    """Read a sweep file as `submit` does, and store nothing but files' digests.

    Raises:
        SpecError: The file has mistakes.
    """
    where.make_home()
    digests = Digests(where.home / "digests.json", progress=tell_hashing)
    found = partial(describe, digests=digests)
    expansion = read_jobs(source, found, sets=sets, axes=axes)
    digests.save()
    return expansion


def submit_jobs(
    expansion: Expansion,
    where: Settings,
    *,
    retry_failed: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Submitted:
    """Store and send the jobs of an expanded sweep; see `submit`."""
    with (
        closing(open_database(where.database_url)) as database,
        closing(make_app(broker_url(where), lease_s=where.lease_s)) as app,
    ):
        waiting(app)  # so that a Redis that is away is known before a row is written
        submission = _Submission(database, app, where.images, progress)
        return submission.run(expansion, retry=retry_failed)


def _source_of(source: str | Source) -> Source:
    if isinstance(source, str):
        return read_once("-") if source == "-" else Path(source)
    return source


def _find_stored(where: Settings, name: str) -> Sweep | None:
    with closing(open_database(where.database_url)) as database:
        return sweeps.find_sweep(database, name)


class _Submission:
    """One submission, under way."""

    def __init__(
        self,
        database: Database,
        app: "Celery",
        images: Path,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._database = database
        self._app = app
        self._images = images
        self._progress = progress or (lambda _done, _all: None)
        self._priority = NORMAL_PRIORITY

    def run(self, expansion: Expansion, *, retry: bool) -> Submitted:
        """Store every job, and send those that are new.

        The others were sent by whoever stored them. Supervisors of workers send what
        that one did not come to send, and what Redis lost.

        Args:
            expansion: The jobs.
            retry: Whether failed ones are tried again.
        """
        spec = expansion.spec
        before = sweeps.find_sweep(self._database, spec.name)
        sweep = sweeps.save_sweep(
            self._database,
            spec.name,
            spec=spec.text,
            axes=expansion.axis_labels,
            meanings=expansion.what_is_meant,
            min_free_bytes=spec.min_free_bytes,
        )
        self._priority = sweep.priority
        self._send(life.settle(self._database, sweep).woken)
        blocks.lift_all(self._database)
        new, existing = 0, Counter[str]()
        for batch in expansion.batches(BATCH):
            added = wishes.add_jobs(self._database, sweep, batch)
            self._send(_by_group(added.fresh))
            new += len(added.fresh)
            existing.update(added.existing)
            self._progress(batch[-1].position + 1, expansion.count)
        return Submitted(
            sweep=sweep,
            total=expansion.count,
            new=new,
            existing=dict(existing),
            dropped=wishes.drop_absent(self._database, sweep),
            retried=self._retry(sweep) if retry else 0,
            was=before.state if before else "active",
            warnings=(*expansion.duplicates, *expansion.warnings, *self._full(spec)),
            taken=expansion.taken,
        )

    def _full(self, spec: Spec) -> Iterator[str]:
        free = free_bytes(self._images)
        if free < spec.min_free_bytes:
            yield (
                f"{size(free)} is free where images go, and "
                f"{size(spec.min_free_bytes)} should stay so (limits.min_free); make "
                "room, or set NIGHTSWEEP_IMAGES to a larger disk"
            )

    def _retry(self, sweep: Sweep) -> int:
        again = sweeps.retry(self._database, sweep)
        self._send(again)
        return sum(map(len, again.values()))

    def _send(self, groups: Mapping[str, Sequence[str]]) -> None:
        if groups:
            send(self._app, groups, priority=self._priority)


def describe_submission(done: Submitted) -> list[str]:
    """Say in sentences what a submission did."""
    sweep = done.sweep
    made = done.existing.get("done", 0)
    revision = f" (revision {sweep.revision})" if sweep.revision > 1 else ""
    lines = [
        f"{sweep.name}{revision}: {images(done.total)}, {done.new:,} new, "
        f"{made:,} made already.",
    ]
    if done.taken:
        lines.append(done.taken)
    if done.was != "active":
        lines.append(f"{sweep.name} was {done.was}; it is active again.")
    if done.dropped:
        lines.append(f"{images(done.dropped)} that were unmade left the sweep.")
    if done.retried:
        lines.append(f"{images(done.retried)} that failed are tried again.")
    if done.failed > 0:
        lines.append(
            f"{images(done.failed)} failed before; add --retry-failed to try again."
        )
    return lines


@click.command("submit", epilog="Example: nightsweep submit sweep.yaml")
@spec_options
@retry_option
def submit_command(
    spec: str, sets: Sequence[str], axes: Sequence[str], *, retry_failed: bool
) -> None:
    """Put a sweep into the queue, for workers anywhere.

    SPEC is a YAML file, or - for standard input. Jobs that exist already are not
    made again. Submitting again is safe, also after an interruption.
    """
    done = submit(spec, sets=sets, axes=axes, retry_failed=retry_failed)
    for warning in done.warnings:
        click.echo(f"Warning: {warning}.", err=True)
    for line in describe_submission(done):
        click.echo(line, err=True)
    click.echo(done.sweep.name)


def _by_group(planned: Iterable[PlannedJob]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for one in planned:
        groups.setdefault(one.job.group, []).append(one.job.key)
    return groups
