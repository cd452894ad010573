"""The command `nightsweep worker`."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import click
from click.core import ParameterSource

from storage.broker.embedded import broker_url
from storage.broker.queue import make_app
from storage.errors import DeviceError
from storage.files.folders import look_at_folder
from storage.host.worker_ids import my_host
from storage.job import BACKENDS, TORCH
from storage.jobs import blocked_groups
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database
from workers.devices.placements import Placement, choose_placements
from workers.durations import Duration
from workers.execution.context import patiently
from workers.supervision.exit_rules import ExitRules
from workers.supervision.reconciler import Reconciler
from workers.supervision.supervisor import Supervisor
from workers.vitals.log_lines import FileFormatter, LineFormatter


@click.command(
    epilog="Example: nightsweep worker --gpus 0,1",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=TORCH,
    show_default=True,
    help="What to paint with: jobs of other back ends are left to other workers.",
)
@click.option(
    "--gpus",
    envvar="NIGHTSWEEP_GPUS",
    show_envvar=True,
    metavar="all|0,1",
    help="GPUs to serve, one process each.  [default: all]",
)
@click.option(
    "--device",
    type=click.Choice(["cpu"]),
    help="Use no GPU.  [default: GPUs where there are any]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    envvar="NIGHTSWEEP_WORKERS",
    show_envvar=True,
    help="Processes on a CPU.  [default: one a core, 8 at the most; one of Flax]",
)
@click.option(
    "--exit-when-idle",
    type=Duration(),
    envvar="NIGHTSWEEP_EXIT_WHEN_IDLE",
    show_envvar=True,
    metavar="TIME",
    help="End after this long with nothing to make: 60s.  [default: never]",
)
@click.option(
    "--stop-after",
    type=Duration(),
    envvar="NIGHTSWEEP_STOP_AFTER",
    show_envvar=True,
    metavar="TIME",
    help="Hand back and end after this long: 90s, 30m, 8h.  [default: never]",
)
@click.option(
    "--give-up-after",
    type=click.IntRange(1),
    help="End when every worker has died this often in a row.  [default: never]",
)
@click.option(
    "--join",
    is_flag=True,
    help="Wait for a GPU or a core if other workers have them all.",
)
@click.option(
    "--end-with-parent",
    is_flag=True,
    help="End when standard input is closed.",
)
def worker(
    give_up_after: int | None,
    exit_when_idle: float | None,
    stop_after: float | None,
    *,
    join: bool,
    end_with_parent: bool,
    **devices: Any,
) -> None:
    """Serve the queue with this machine's GPUs, or its CPU.

    It runs until told to stop: Ctrl-C hands unfinished jobs back and keeps every
    finished image; a second Ctrl-C stops at once. Standard error has a line when a
    worker loads a model, one for each turn with its images/s, and one at the end; all
    else is in $NIGHTSWEEP_HOME/logs. GPUs that other workers of this machine serve are
    left to them until free. So are the cores that workers of this state folder have,
    unless --workers is given. A worker of Flax needs `nightsweep[flax]`, and takes all
    devices that JAX finds.
    """
    # Closing the terminal must not end the night's work; workers inherit this.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = read_settings()
    settings.make_home()
    placements = _choose_placements(**devices, locks=settings.locks, joins=join)
    told = logging.StreamHandler()
    # What a parent started writes to a file.
    told.setFormatter(
        FileFormatter("supervisor", as_json=settings.json_logs)
        if end_with_parent
        else LineFormatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[told])
    logging.getLogger("workers").setLevel(logging.INFO)
    opened = closing(_open(settings.database_url))
    database = click.get_current_context().with_resource(opened)
    # Report another database's folder before any worker starts.
    patiently(lambda: look_at_folder(database, settings.images), check=lambda: None)
    supervisor = _supervise(
        settings,
        placements,
        database=database,
        give_up_after=give_up_after,
        exit_rules=ExitRules(when_idle_s=exit_when_idle, after_s=stop_after),
    )
    taken = supervisor.take_placements()
    if not taken and not join:
        raise _nothing_free(placements)
    # What was missing on this host may be there now.
    patiently(
        lambda: blocked_groups.lift_all(database, host=my_host()), check=lambda: None
    )
    _obey_signals(supervisor)
    if end_with_parent:
        threading.Thread(target=_wait_for_end, args=(supervisor,), daemon=True).start()
    click.echo(f"{_describe(placements, taken)}; logs in {settings.logs}.", err=True)
    if end_with_parent and len(taken) < len(placements):
        click.echo(f"{_describe(placements, taken)}.")  # for the parent to pass on
    sys.exit(supervisor.run())


def _choose_placements(
    *,
    gpus: str | None,
    device: str | None,
    workers: int | None,
    backend: str,
    **asked: Any,
) -> list[Placement]:
    source = click.get_current_context().get_parameter_source
    if device and source("gpus") is ParameterSource.ENVIRONMENT:
        gpus = None  # an option that was given beats a variable that was set
    if backend != TORCH and source("workers") is ParameterSource.ENVIRONMENT:
        workers = None  # the variable counts processes of torch
    return choose_placements(
        gpus=gpus, device=device, workers=workers, backend=backend, **asked
    )


def _supervise(
    settings: Settings,
    placements: Sequence[Placement],
    *,
    database: Database,
    **rules: Any,
) -> Supervisor:
    app = make_app(broker_url(settings))
    return Supervisor(
        placements,
        database=database,
        repair=Reconciler(database, app, lease_s=settings.lease_s),
        # The embedded server may have died, or been stopped.
        keep_redis=None if settings.redis_url else lambda: broker_url(settings),
        **rules,
    )


def _open(url: str) -> Database:
    if url.startswith("sqlite:"):
        return open_database(url)  # waiting never makes a foreign file ours
    return patiently(lambda: open_database(url), check=lambda: None)


def _nothing_free(placements: Sequence[Placement]) -> DeviceError:
    kind, way_out = "GPU", "stop those, or wait for one with --join"
    if placements[0].device == "cpu":
        kind, way_out = "core", f"{way_out}, or ask for more workers with --workers"
    names = ", ".join(placement.name for placement in placements)
    return DeviceError(
        f"A worker needs a {kind} of its own, but others serve {names} already; "
        f"{way_out}."
    )


def _describe(placements: Sequence[Placement], taken: Sequence[Placement]) -> str:
    names = ", ".join(each.name for each in taken)
    others = ", ".join(each.name for each in placements if each not in taken)
    if not taken:
        return f"Waiting for {others}, which other workers serve"
    return f"Serving with {names}" + (f", and {others} when free" if others else "")


def _obey_signals(supervisor: Supervisor) -> None:
    asked = 0

    def obey(*_args: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            supervisor.stop()
        else:
            supervisor.stop_at_once()

    signal.signal(signal.SIGINT, obey)
    signal.signal(signal.SIGTERM, obey)


def _wait_for_end(supervisor: Supervisor) -> None:
    while os.read(0, 4096):
        pass
    supervisor.stop()
