"""One worker process: a Celery worker with a painter, started by the supervisor.

python -P -m workers.process.main --name gpu0 --device cuda:0
"""

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from typing import Any

import click
from celery import Celery
from celery.exceptions import SecurityWarning

from storage.broker.embedded import broker_url
from storage.broker.queue import make_app, queue_of
from storage.errors import NightsweepError, UsageError, WrongPlaceError
from storage.files.folders import take_folder
from storage.files.free_space import WantedFreeSpace
from storage.files.images import ImageFolder
from storage.fleet.compilations import DatabaseCompilations
from storage.fleet.registry import Entry
from storage.host.worker_ids import my_host, my_name
from storage.job import BACKENDS, FLAX, TORCH
from storage.jobs.batch_sizes import DatabaseWidths
from storage.jobs.claims import BEATS_PER_LEASE
from storage.scores import score_claims
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database, utc_now
from storage.sql.model_places import DatabasePlaces
from workers.devices.compiler_cache import keep_compilations
from workers.devices.placements import Placement
from workers.execution.context import Answer, Context, patiently
from workers.execution.heartbeat import Heartbeat
from workers.execution.turn import Turn
from workers.heavy_imports import import_function
from workers.painting import Painter
from workers.process.consumer import EndOfOutage, PatientConsumer
from workers.process.pool import TaskPool
from workers.process.registration import Registration
from workers.process.tasks import register, should_stop
from workers.scoring.score_turn import ScoreTurn
from workers.vitals import phases
from workers.vitals.exits import EXIT_WRONG_PLACE, STOP_S
from workers.vitals.log_lines import FileFormatter, LineFormatter
from workers.vitals.phases import WatchedPainter
from workers.vitals.recent import Recent
from workers.vitals.reports import Reporter

# By name, since this module runs as `__main__`.
log = logging.getLogger("workers.process.main")

#: Module and function that make the painter of each back end; its packages are the
#: extra of the same name. The tests put a stand-in here.
PAINTERS = {
    TORCH: "workers.engine.torch_painter:make_painter",
    FLAX: "workers.flax.painter:make_painter",
}
#: Saver threads beside the painter's thread. One on a CPU, where they share its cores.
CPU_SAVERS = 1
GPU_SAVERS = 2
#: Files that are put into a bucket at once.
BUCKET_PUTS = 16
WORKER_LOG_BYTES = 10_000_000
LOG_FILES = 3


@click.command()
@click.option("--name", required=True, help="What people call this worker.")
@click.option("--device", required=True, help="cpu, cuda:0 and so on.")
@click.option("--gpu", default="CPU", show_default=True, help="The device's name.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=TORCH,
    show_default=True,
    help="What to paint with.",
)
@click.option("--threads", default=1, show_default=True, help="Torch threads on a CPU.")
@click.option(
    "--peers", default=1, show_default=True, help="Workers of the same supervisor."
)
@click.option("--report", type=int, help="File descriptor to report progress to.")
def main(peers: int, report: int | None, **placement: Any) -> None:
    """Make jobs on one device until told to stop, or until the parent is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with_parent()
    settings = read_settings()
    settings.make_home()
    keep_compilations(settings.home)
    _configure_logging(settings, placement["name"])
    recent = Recent()
    reporter = None if report is None else Reporter(report, recent)
    if reporter:
        phases.when_preparing(reporter.tell_at_once)
        reporter.start()
    try:
        with phases.during(phases.STARTING):
            app = _prepare(settings, Placement(**placement), peers=peers, recent=recent)
        try:
            sys.exit(_serve(app, placement["name"], placement["backend"]))
        finally:
            if reporter:
                reporter.tell_at_once()
    except NightsweepError as exc:
        log.error("%s", exc, extra={"action": "worker_unfit"})  # noqa: TRY400
        is_wrong = isinstance(exc, WrongPlaceError)
        sys.exit(EXIT_WRONG_PLACE if is_wrong else exc.exit_code)


def _prepare(
    settings: Settings, placement: Placement, *, peers: int, recent: Recent
) -> Celery:
    """Make all that a worker needs; wait for the database and Redis if need be."""
    app = make_app(_patiently(lambda: broker_url(settings)))
    database = _patiently(lambda: open_database(settings.database_url))
    owner = my_name()
    every_s = settings.lease_s / BEATS_PER_LEASE
    entry = _entry(placement, owner)
    Registration(
        database, entry, recent, every_s=every_s, device=placement.device
    ).start()
    folder = _patiently(lambda: take_folder(database, settings.images))
    heartbeat = Heartbeat(database, owner=owner, lease_s=settings.lease_s)
    context = Context(
        database=database,
        images=ImageFolder(settings.images, WantedFreeSpace(database), folder.id),
        heartbeat=heartbeat,
        owner=owner,
        worker=placement.name,
        lease_s=settings.lease_s,
        should_stop=should_stop,
        peers=peers,
        savers=CPU_SAVERS if placement.device == "cpu" else GPU_SAVERS,
        puts=0 if settings.image_folder else BUCKET_PUTS,
        backend=placement.backend,
    )
    make = _find_painter(placement.backend)
    painter = make(
        placement.device,
        threads=placement.threads,
        digests=settings.home / "digests.json",
        widths=DatabaseWidths(database),
        places=DatabasePlaces(database),
        compile_networks=_compile_networks(settings, database),
    )
    turn = Turn(context=context, painter=WatchedPainter(painter), recent=recent)
    score_turn = _score_turn(context, settings, placement)
    register(app, turn, heartbeat, score_turn=score_turn)
    return app


def _compile_networks(
    settings: Settings, database: Database
) -> bool | DatabaseCompilations:
    chosen = settings.compile_networks
    return DatabaseCompilations(database) if chosen is None else chosen


def _score_turn(
    context: Context, settings: Settings, placement: Placement
) -> ScoreTurn:
    heartbeat = Heartbeat(
        context.database,
        owner=context.owner,
        lease_s=context.lease_s,
        renew=score_claims.renew,
    )
    return ScoreTurn(
        context=context,
        heartbeat=heartbeat,
        device=placement.device,
        threads=placement.threads,
        digests=settings.home / "digests.json",
    )


def _patiently(act: Callable[[], Answer]) -> Answer:
    # Until there is something to hand back, a signal just ends the process.
    return patiently(act, check=phases.progress)


def _entry(placement: Placement, owner: str) -> Entry:
    now = utc_now()
    return Entry(
        owner=owner,
        name=placement.name,
        host=my_host(),
        gpu=placement.gpu,
        backend=placement.backend,
        phase=phases.STARTING,
        started_at=now,
        phase_at=now,
    )


def _serve(app: Celery, name: str, backend: str) -> int:
    app.steps["consumer"].add(EndOfOutage)
    worker = _deaf_to_hangups(app)(
        hostname=f"{name}@{os.getpid()}",
        queues=[queue_of(backend)],
        pool=TaskPool,
        consumer_cls=PatientConsumer,
        concurrency=1,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    log.info("Ready.", extra={"action": "worker_ready"})
    worker.start()
    return int(worker.exitcode or 0)


def _deaf_to_hangups(app: Any) -> Any:
    """Return Celery's worker without its restart when a terminal closes."""

    class Worker(app.Worker):  # type: ignore[misc]
        def install_platform_tweaks(self, worker: Any) -> None:
            super().install_platform_tweaks(worker)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    return Worker


def _find_painter(backend: str) -> Callable[..., Painter]:
    where = os.environ.get("NIGHTSWEEP_PAINTER") or PAINTERS[backend]
    try:
        make: Callable[..., Painter] = import_function(where)
    except ModuleNotFoundError as exc:
        msg = (
            f"A worker needs the packages of its back end, but {exc.name} is not "
            f"installed; run `pip install 'nightsweep[{backend}]'`."
        )
        raise UsageError(msg) from exc
    return make


def _end_with_parent() -> None:
    """Stop warmly when standard input ends: the supervisor holds its other end.

    A worker that hangs is then ended, since nobody watches it now: it would keep its
    jobs and its GPU for ever.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return

    def _wait() -> None:
        while os.read(0, 4096):
            pass
        log.warning("The supervisor is gone.", extra={"action": "parent_gone"})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_S)
        os._exit(1)

    threading.Thread(target=_wait, name="parent", daemon=True).start()


def _configure_logging(settings: Settings, name: str) -> None:
    file = RotatingFileHandler(
        settings.logs / f"{name}.log", maxBytes=WORKER_LOG_BYTES, backupCount=LOG_FILES
    )
    file.setFormatter(FileFormatter(name, as_json=settings.json_logs))
    # Errors that end a worker also go to standard error, which the supervisor shares.
    loud = logging.StreamHandler()
    loud.setLevel(logging.ERROR)
    loud.setFormatter(LineFormatter(f"%(levelname)s {name}: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[file, loud])
    for package in ("workers", "storage"):
        logging.getLogger(package).setLevel(logging.INFO)
    # `PatientConsumer` says what it waits for, once.
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.CRITICAL + 1)
    # That a container runs as root is its own affair.
    warnings.filterwarnings("ignore", category=SecurityWarning)


if __name__ == "__main__":
    main()
