"""The command `nightsweep run`: a whole sweep on this machine, to the end."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import click

from producer.commands.detached import detach, is_under_way
from producer.commands.submit import submit
from producer.dashboard.run_progress import progress_shown
from producer.display.amounts import duration, images
from producer.display.messages import talk
from producer.health.missing_images import describe_missing
from producer.notices.channels import read_channels, told_by
from producer.notices.watching import Watched, on_option
from producer.options import (
    AT_LIMIT,
    INTERRUPTED,
    limit_options,
    program,
    retry_option,
    spec_options,
    with_name,
    yes_option,
)
from producer.running.backends import (
    choose_backends,
    describe_unserved,
    find_unserved,
    hopeless_groups,
)
from producer.running.background import in_background
from producer.running.local_workers import LocalWorkers
from producer.running.sweep_state import (
    Standing,
    describe,
    describe_incomplete,
    describe_limit,
    describe_scores,
    standing,
)
from producer.scoring.request_report import describe_blocked, describe_failures
from producer.submission.submission import tell
from storage.errors import DatabaseError
from storage.files.folders import count_missing, look_at_folder
from storage.fleet.progress import Worker, list_workers
from storage.host.gpus import has_nvidia
from storage.host.worker_ids import my_host
from storage.jobs import sweep_counts
from storage.jobs.blocked_groups import count_unmade
from storage.jobs.companions import find_companion
from storage.jobs.sweeps import Sweep
from storage.scores import score_counts
from storage.scores.score_counts import pending_metrics
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database, open_existing

#: Seconds between two looks at the database.
PROGRESS_POLL_S = 0.5
#: Seconds between two tries to reach a database that is away.
OUTAGE_S = 5.0
#: Seconds between two lines about scores.
SCORES_S = 10.0


@click.command(epilog="Example: nightsweep run examples/first-sweep.yaml")
@spec_options
@limit_options
@yes_option
@click.option(
    "--gpus",
    metavar="all|0,1",
    help="GPUs to use.  [env var: NIGHTSWEEP_GPUS; default: all]",
)
@click.option("--device", type=click.Choice(["cpu"]), help="Use no GPU.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Processes on a CPU.  [env var: NIGHTSWEEP_WORKERS; default: one a core, 8 "
    "at the most]",
)
@retry_option
@on_option
@click.option("--plain", is_flag=True, help="Lines, as in a pipe; no full screen.")
@click.option(
    "--detach",
    is_flag=True,
    help="Make it in the background: the terminal may be closed.",
)
@click.option(
    "--background",
    type=int,
    hidden=True,
    help="Descriptor of the lock of a run that --detach started.",
)
def run(
    spec: str,
    sets: Sequence[str],
    axes: Sequence[str],
    name: str | None,
    *,
    yes: bool,
    retry_failed: bool,
    **worker_options: Any,
) -> None:
    """Make a whole sweep on this machine.

    SPEC is a YAML file, - for standard input, or the name of a stored sweep, which
    goes on as it is. Starts Redis and one worker per GPU where needed, shows progress,
    and ends with the last image. Ctrl-C stops cleanly; running it again goes on.
    Images that exist already are not made again. If a stored sweep would lose unmade
    images, or options change it, the command asks first. If other workers serve every
    GPU, or every core, they make the sweep. With --detach it goes on in the
    background, and tells the same in its log; `nightsweep stop` ends it. At a limit
    (--until, --gpu-hours, --stop-after) it finishes the images in hand and ends with
    exit code 3.
    """
    click.get_current_context().with_resource(_outliving_terminal())
    settings = read_settings()
    is_plain, detaches = (worker_options.pop(each) for each in ("plain", "detach"))
    lock, on = (worker_options.pop(each) for each in ("background", "on"))
    if lock is not None:
        enter = in_background(lock, spec)
        click.get_current_context().with_resource(enter)
    channels = read_channels(on, os.environ)
    _look_at_images(settings)
    done = submit(
        spec,
        sets=with_name(sets, name),
        axes=axes,
        retry_failed=retry_failed,
        asks=not yes,
        for_cpu=not takes_gpus(
            gpus=worker_options["gpus"], device=worker_options["device"]
        ),
    )
    tell(done)
    opened = closing(open_database(settings.database_url))
    database = click.get_current_context().with_resource(opened)
    before = standing(database, done.sweep)
    if before.is_open and lock is None:
        if is_under_way(settings, done.sweep.name):
            return
        if detaches:
            sys.exit(detach(settings, database, done.sweep.name, worker_options, on))
    others = sweep_counts.count_unmade(database) - before.unmade - before.references
    if before.unmade and others > 0:
        wait = "waits" if others == 1 else "wait"
        talk(f"{images(others)} of other sweeps {wait} too, in turn.")
    backends = choose_backends(database, done.sweep, has_scores=before.open_scores > 0)
    local = LocalWorkers(settings, worker_options, backends)
    started = time.monotonic()
    if before.is_open:
        look_at_folder(database, settings.images)  # now that there is a database
        with local.at_work(), told_by(channels) as teller:
            watched = Watched(done.sweep, before, settings=settings, teller=teller)
            after = _follow(database, done.sweep, local, watched, is_plain=is_plain)
            if after.is_open and after.state == "active" and not local.interrupted:
                watched.stop(after)
    else:
        after = before
    _report(settings, before, after, seconds=time.monotonic() - started)
    _tell_failures(database, done.sweep, after)
    sys.exit(_conclude(after, local, find_unserved(database) if after.unmade else ()))


def _tell_failures(database: Database, sweep: Sweep, after: Standing) -> None:
    for reason, count in sweep_counts.failures(database, sweep):
        talk(f"{count:,} failed: {reason}")
    lost = score_counts.failures(database, sweep_id=sweep.id)
    for line in describe_failures(lost):
        talk(line)
    if after.open_scores:
        for each in score_counts.blocked_metrics(database):
            talk(describe_blocked(each))


def takes_gpus(*, gpus: str | None = None, device: str | None = None) -> bool:
    """Return whether workers with these options run on GPUs, as they decide it."""
    named = gpus or os.environ.get("NIGHTSWEEP_GPUS")
    return device != "cpu" and (bool(named) or has_nvidia())


def _look_at_images(settings: Settings) -> None:
    """Refuse an image folder of another database; warn of one that was replaced."""
    database = open_existing(settings.database_url)
    if database is not None:
        with closing(database):
            folder = look_at_folder(database, settings.images)
            if missing := count_missing(database, folder):
                talk(f"Warning: {describe_missing(folder, missing)}")


@contextmanager
def _outliving_terminal() -> Iterator[None]:
    """Go on when the terminal is closed, and print no more."""
    lost = [number for number in (1, 2) if os.isatty(number)]

    def leave(*_args: object) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in lost:
            os.dup2(nowhere, number)
        os.close(nowhere)

    before = signal.signal(signal.SIGHUP, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _follow(
    database: Database,
    sweep: Sweep,
    local: LocalWorkers,
    watched: Watched,
    *,
    is_plain: bool,
) -> Standing:
    """Show progress until all is made and scored, or nobody works on it any more."""
    now, took_s = standing(database, sweep), 0.0
    news, models = _News(), sweep_counts.count_models(database, sweep)
    reasons = partial(sweep_counts.failures, database, sweep)
    with progress_shown(now, reasons, is_plain=is_plain) as show:
        while now.is_open and not local.is_over():
            # Looking at a million jobs takes long: a tenth of the time at most.
            local.work_for(max(PROGRESS_POLL_S, 10 * took_s))
            began = time.monotonic()
            try:
                now = standing(database, sweep)
                workers = list_workers(database)
                if models > 1:
                    models = sweep_counts.count_models(database, sweep)
                others = sweep_counts.count_leased(database) - now.leased
                watched.look(database, now)
                news.tell(workers)
                news.tell_scores(now)
                at_work = now.leased or now.scores.get("leased")
                is_stuck = not at_work and _is_stuck(
                    database, sweep, now, served=local.serving
                )
            except DatabaseError as exc:
                # The workers wait for the database too, and go on when it is back.
                news.tell_reason(str(exc))
                local.work_for(OUTAGE_S)
                continue
            took_s = time.monotonic() - began
            if said := local.news():
                talk(said)
            show(now, workers, models=models, others=others)
            if is_stuck or now.is_over:
                break
    return now


def _is_stuck(
    database: Database, sweep: Sweep, now: Standing, *, served: Collection[str]
) -> bool:
    """Return whether this command waits in vain for all that is left.

    Args:
        database: Where the jobs are.
        sweep: The sweep.
        now: How far it is.
        served: Back ends whose workers this command keeps alive.
    """
    groups = hopeless_groups(database, served=served)
    if not groups:
        return False
    both = filter(None, (sweep, find_companion(database, sweep)))
    held_up = sum(count_unmade(database, each, groups) for each in both)
    pending = pending_metrics(database, host=my_host()) if now.open_scores else []
    is_scored = groups.issuperset(each.block_key for each in pending)
    return held_up >= now.unmade + now.references and is_scored


class _News:
    """Says once what workers wait for, that they go on, and which restart later."""

    def __init__(self) -> None:
        self._is_waiting = False
        self._told: set[str] = set()
        self._scores_at = 0.0

    def tell(self, workers: Iterable[Worker]) -> None:
        """Say what is new about workers; leave out silent ones."""
        heard = [worker for worker in workers if not worker.is_silent]
        waiting = (each.detail for each in heard if each.phase == "waiting")
        self.tell_reason(next(waiting, None))
        for each in heard:
            name = f"{each.name} on {each.host}"
            if each.phase == "backoff" and name not in self._told:
                self._told.add(name)
                talk(f"Worker {name} restarts after a pause: {each.detail}")

    def tell_scores(self, now: Standing) -> None:
        """Say now and then how far the scores are, once all images are made."""
        is_due = time.monotonic() - self._scores_at >= SCORES_S
        if now.is_open and not now.unmade and is_due:
            self._scores_at = time.monotonic()
            more = f"{images(now.references)} to compare with to make; "
            said = more if now.references else ""
            talk(f"{said}{describe_scores(now)}")

    def tell_reason(self, reason: str | None) -> None:
        """Say what workers wait for when a wait begins, and that it is over."""
        if reason and not self._is_waiting:
            talk(f"Waiting: {reason}")
        elif self._is_waiting and not reason:
            talk("Going on.")
        self._is_waiting = bool(reason)


def _report(
    settings: Settings, before: Standing, after: Standing, *, seconds: float
) -> None:
    made = after.done - before.done
    if made:
        talk(
            f"Made {images(made)} in {duration(seconds)} "
            f"({made / seconds:.2f} images/s, model loading included)."
        )
    elif not before.is_open:
        talk("Nothing was left to make.")
    if scores := describe_scores(after):
        talk(scores)
    click.echo(f"Images:   {settings.images}", err=True)
    click.echo(f"Database: {settings.database_path or 'see the URL'}", err=True)
    if not settings.redis_url:
        click.echo(f"Redis:    stays, until `{program()} down`", err=True)
    click.echo(f"Look:     {program()} grid {after.sweep}", err=True)


def _conclude(
    after: Standing, local: LocalWorkers, unserved: Sequence[str] = ()
) -> int:
    """Say what failed and what to do next; return the exit code."""
    failed = after.failed + after.quarantined
    if failed:
        talk(
            f"{images(failed)} failed; `{program()} find --sweep {after.sweep} --state "
            "failed,quarantined` lists them, --retry-failed tries them again."
        )
    if after.incomplete:
        talk(describe_incomplete(after.sweep, after.incomplete))
    if not after.is_open:
        failed += after.scores.get("failed", 0)
        return 1 if failed or after.incomplete else 0
    words = shlex.join(sys.argv[1:])
    if "--background" in sys.argv:
        words = f"run {after.sweep} --detach"
    again = f"{program()} {words}"
    if after.state != "active":
        return _conclude_stopped(after, again, interrupted=local.interrupted)
    for blocked in after.blocked:
        talk(describe(blocked))
    for backend in unserved:
        talk(describe_unserved(backend))
    if not local.interrupted and local.has_ended:
        talk("The workers ended before the sweep did:")
        click.echo(local.last_words(), err=True)
    click.echo(f"{_left(after)}; go on with: {again}", err=True)
    return INTERRUPTED if local.interrupted else 1


def _conclude_stopped(after: Standing, again: str, *, interrupted: bool) -> int:
    """Say why a sweep that is not active stopped; return the exit code."""
    why = f": {after.reason}" if after.reason else ""
    talk(f"{after.sweep} is {after.state}{why}.")
    if after.is_at_limit:
        talk(describe_limit(after))
        if not after.is_at_quota:
            talk(f"To go on here, with the same limits anew: {again}")
        return INTERRUPTED if interrupted else AT_LIMIT
    talk(
        f"{_left(after)}; go on here with `{again}`, or let workers "
        f"elsewhere go on with `{program()} resume {after.sweep}`."
    )
    return INTERRUPTED if interrupted else 1


def _left(after: Standing) -> str:
    if after.unmade:
        return f"{images(after.unmade)} unmade"
    return f"{after.open_scores:,} scores not computed"
