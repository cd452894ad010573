"""The command `nightsweep score`: images are scored by metrics, each once."""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from producer.display.hashing import tell_hashing
from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.models.cards import describe
from producer.query_options import QueryCommand, query_options
from producer.scoring.request_report import (
    describe_blocked,
    describe_failures,
    describe_requests,
    rows_of,
)
from producer.scoring.requested_metrics import (
    RequestedMetric,
    read_kind,
    read_reference,
    request,
)
from producer.scoring.requests import Requests
from producer.submission.opening import (
    by_group,
    opened_to_write,
    tell_who_works,
    wake,
    wake_for_scores,
)
from storage.fleet.registry import blocked_by_all
from storage.host.worker_ids import my_host
from storage.job import PlannedJob
from storage.jobs.blocked_groups import lift_all
from storage.jobs.stored_jobs import read_planned
from storage.jobs.sweeps import Sweep, require_sweeps
from storage.models.fingerprint import Digests
from storage.queries.answers import PAGE_ROWS, find, read_meaning
from storage.queries.terms import Query
from storage.scores.score_counts import (
    blocked_images,
    blocked_metrics,
    count_open,
    failures,
)
from storage.settings import Settings, read_settings
from storage.sql.database import Database

#: Seconds between two looks at what is left.
WAIT_S = 0.5
#: Seconds between two lines about it.
SCORE_LINE_S = 10.0


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep score first-sweep --metric clip --metric rmse",
)
@query_options()
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    required=True,
    metavar="METRIC",
    help="clip, rmse and others, or a class of your own as package:Class; docs/"
    "scores.md lists them. Repeatable.",
)
@click.option(
    "--metric-model",
    "network",
    metavar="FOLDER|ID",
    help="The network that judges.  [default: the metric's own]",
)
@click.option(
    "--reference",
    metavar="steps=N",
    help="What distances are measured from.  [default: steps=200]",
)
@click.option("--retry-failed", is_flag=True, help="Compute failed scores again.")
@click.option("--wait", is_flag=True, help="Wait until the scores are computed.")
@json_option
def score(  # noqa: PLR0913 - what can be asked is its interface
    query: Query,
    *,
    metrics: Sequence[str],
    network: str | None,
    reference: str | None,
    retry_failed: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Score images by metrics, in the queue, each image once.

    QUERY says which, as for `nightsweep find`. Scores of images that are not made yet
    wait for them. Distances need the same images at many more steps,
    which the command has made too; they are kept in a sweep of their own.
    """
    settings = read_settings()
    requested = _read_metrics(metrics, network, reference)
    with opened_to_write(settings) as database:
        requests = _request(settings, database, query, requested, retry=retry_failed)
        for line in describe_requests(requests):
            talk(line)
        left = count_open(database, digests=requests.resolved)
        if left:
            lift_all(database)
            wake_for_scores(settings, database)
            named = read_meaning(database, query).sweeps
            tell_who_works(database, named[0] if len(named) == 1 else None)
        if as_json:
            write_json(rows_of(requests))
        if not wait:
            return
        if not _wait(database, requests) or not _is_whole(database, query, requests):
            sys.exit(1)


def _read_metrics(
    metrics: Sequence[str], network: str | None, reference: str | None
) -> list[RequestedMetric]:
    given = read_reference(reference) if reference is not None else None
    is_one = len(metrics) == 1
    # One option for several metrics is for those of them that take it.
    requested = [
        request(
            kind,
            base_dir=Path(),
            model=network if is_one or kind.needs else None,
            reference=given if is_one or kind.needs_reference else None,
        )
        for kind in (read_kind(name, Path()) for name in metrics)
    ]
    return list(dict.fromkeys(requested))


def _request(
    settings: Settings,
    database: Database,
    query: Query,
    metrics: Sequence[RequestedMetric],
    *,
    retry: bool,
) -> Requests:
    digests = Digests(settings.home / "digests.json", progress=tell_hashing)
    requests = Requests(
        database,
        metrics,
        describe=partial(describe, digests=digests),
        digests=digests,
        retry=retry,
    )
    for sweep, planned in _chosen(database, query):
        fresh = requests.add(sweep, planned)
        wake(settings, by_group(fresh), priority=sweep.priority)
    digests.save()
    return requests


def _chosen(
    database: Database, query: Query
) -> Iterator[tuple[Sweep, list[PlannedJob]]]:
    """Yield the images that were asked for, page by page, with the sweep they are of.

    It is the sweep that was named, else the one that asked for the image first.
    """
    rows = find(database, query)
    while page := list(itertools.islice(rows, PAGE_ROWS)):
        keys: dict[str, list[str]] = {}
        for row in page:
            keys.setdefault(row["sweep"], []).append(row["key"])
        for sweep in require_sweeps(database, list(keys)):
            yield sweep, read_planned(database, keys[sweep.name])


def _wait(database: Database, requests: Requests) -> bool:
    """Wait for scores; return False if the workers here cannot compute what is left."""
    said_at = 0.0
    while left := count_open(database, digests=requests.resolved):
        if _is_blocked(database, requests):
            held_up = blocked_images(database, requests.resolved)
            for each in (*blocked_metrics(database), *held_up):
                talk(describe_blocked(each))
            return False
        if time.monotonic() - said_at >= SCORE_LINE_S:
            said_at = time.monotonic()
            talk(f"{left:,} scores to compute.")
        time.sleep(WAIT_S)
    return True


def _is_whole(database: Database, query: Query, requests: Requests) -> bool:
    """Return whether no score failed; say why some did."""
    job_ids = read_meaning(database, query).select_ids()
    lost = failures(database, job_ids=job_ids, digests=requests.resolved)
    for line in describe_failures(lost):
        talk(line)
    return not lost


def _is_blocked(database: Database, requests: Requests) -> bool:
    """Return whether no worker here can do what is left, or what that waits for."""
    keys = blocked_by_all(database, my_host())
    digests = requests.resolved
    return bool(keys) and not count_open(database, digests=digests, without=keys)
