"""The command `nightsweep submit`: a sweep is read, compared with SQL, and stored."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial

import click

from producer.display.hashing import tell_hashing
from producer.expansion.expand import Expansion, read_jobs
from producer.models.cards import describe
from producer.options import (
    limit_options,
    retry_option,
    spec_options,
    with_name,
    yes_option,
)
from producer.scoring.requested_metrics import RequestedMetric, read_metrics
from producer.scoring.requests import Requests
from producer.spec.yamltext import Source, StoredSpec
from producer.submission.confirmation import Consent
from producer.submission.opening import opened_to_read, tell_who_works
from producer.submission.precision import settle_precision
from producer.submission.sources import find_source
from producer.submission.submission import Submitted, submission_to, tell
from storage.errors import ChangedSweepError, SpecError
from storage.jobs import sweeps
from storage.jobs.sweeps import Sweep
from storage.models.fingerprint import Digests
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database


def submit(  # noqa: PLR0913 - what can be asked is its interface
    source: str | Source,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    settings: Settings | None = None,
    retry_failed: bool = False,
    for_cpu: bool = False,
    asks: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Submitted:
    """Submit a sweep file; safe to repeat, and to interrupt at any moment.

    A paused or cancelled sweep becomes active again. A sweep that is given by name goes
    on as it is stored, whatever became of its file.

    Args:
        source: A YAML or JSON file, `-` for standard input, the name of a stored
            sweep, or a stored spec.
        sets: Values of `--set`, such as `base.width=768`.
        axes: Values of `--axis`, such as `steps=8,12,20` or `steps+=40`.
        settings: Where to submit it; by default what the environment says.
        retry_failed: Whether jobs that failed before are tried again.
        for_cpu: Whether a machine without a GPU is to make it, in float32 if a new
            sweep names no precision.
        asks: Whether a stored sweep changes only after a question; see
            `producer.submission.confirmation`.
        progress: Called with the number of jobs stored so far, and of all jobs.

    Raises:
        SpecError: The file has mistakes; nothing was stored.
        UsageError: A question is needed, and nobody can be asked; nothing was stored.
        DatabaseError: SQL cannot be reached.
        QueueError: Redis cannot be reached; repeat the call when it is back.
    """
    where = settings or read_settings()
    given = find_source(source, where) if isinstance(source, str) else source
    consent = Consent(is_given=not asks, is_overridden=bool(sets or axes))

    @cache  # a stored spec is also read to see what it means by now
    def read(*more: str) -> Expansion:
        return expand_for(where, given, sets=(*sets, *more), axes=axes)

    find = partial(_find_stored, where)
    if isinstance(given, StoredSpec) and not consent.is_overridden:
        why = _why_not_again(read, find(given.name))
        if why:
            return _go_on(given.name, where, why=why, retry_failed=retry_failed)
    expansion = settle_precision(read, find, for_cpu=for_cpu)
    return submit_jobs(
        expansion,
        where,
        consent=consent,
        retry_failed=retry_failed,
        progress=progress,
    )


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
    consent: Consent,
    retry_failed: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Submitted:
    """Store and send the jobs of an expanded sweep; see `submit`."""
    metrics = read_metrics(expansion.spec)
    with closing(open_database(where.database_url)) as database:
        requests = requests_for(expansion, database, where, metrics)
        # Asked before anything is started or stored.
        seen = consent.settle(database, expansion)
        with submission_to(database, where, progress=progress) as submission:
            while True:
                try:
                    return submission.run(
                        expansion, requests=requests, seen=seen, retry=retry_failed
                    )
                except ChangedSweepError:
                    # Somebody else was faster: ask again about what they stored.
                    seen = consent.settle(database, expansion)


def requests_for(
    expansion: Expansion,
    database: Database,
    where: Settings,
    metrics: Sequence[RequestedMetric],
) -> Requests:
    """Return what asks for the scores of a sweep, with its metrics found.

    Raises:
        UsageError: The network of a metric cannot be found or used.
    """
    digests = Digests(where.home / "digests.json", progress=tell_hashing)
    requests = Requests(
        database, metrics, describe=describe, digests=digests, cards=expansion.models
    )
    requests.check(card.model for card in expansion.models)
    digests.save()
    return requests


def _why_not_again(read: Callable[[], Expansion], stored: Sweep | None) -> str:
    """Return why a stored spec no longer means what it did; empty if it still does."""
    try:
        expansion = read()
    except SpecError as exc:
        return f"its spec cannot be read here any more: {exc.problems[0]}"
    if stored and stored.may_want(expansion.digest):
        return ""
    return "its spec means something else by now, such as other weights of its model"


def _go_on(
    name: str, where: Settings, *, why: str, retry_failed: bool = False
) -> Submitted:
    """Make a sweep active with just the jobs that are stored."""
    with (
        closing(open_database(where.database_url)) as database,
        submission_to(database, where) as submission,
    ):
        sweep = sweeps.require_sweeps(database, [name])[0]
        return submission.go_on(sweep, why=why, retry=retry_failed)


def _find_stored(where: Settings, name: str) -> Sweep | None:
    with closing(open_database(where.database_url)) as database:
        return sweeps.find_sweep(database, name)


@click.command("submit", epilog="Example: nightsweep submit sweep.yaml")
@spec_options
@limit_options
@yes_option
@retry_option
def submit_command(
    spec: str,
    sets: Sequence[str],
    axes: Sequence[str],
    name: str | None,
    *,
    yes: bool,
    retry_failed: bool,
) -> None:
    """Put a sweep into the queue, for workers anywhere.

    SPEC is a YAML file, - for standard input, or the name of a stored sweep. Jobs that
    exist already are not made again. Submitting again is safe, even after an
    interruption. If a stored sweep would lose unmade images, or options change it, the
    command asks first.
    """
    done = submit(
        spec,
        sets=with_name(sets, name),
        axes=axes,
        retry_failed=retry_failed,
        asks=not yes,
    )
    tell(done)
    if done.unmade or done.open_scores:
        with opened_to_read(read_settings()) as database:
            tell_who_works(database, done.sweep.name)
    click.echo(done.sweep.name)
