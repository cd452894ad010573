"""The command `nightsweep worker`."""

import logging
import os
import signal
import sys
import threading

import click
from click.core import ParameterSource

from storage.database import open_database
from storage.embedded import broker_url
from storage.queue import make_app
from storage.settings import read_settings
from workers.devices import choose_seats
from workers.reconcile import reconcile
from workers.supervisor import Supervisor


@click.command(
    epilog="Example: nightsweep worker --gpus 0,1",
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
    help="Processes on a CPU.  [default: one a core, 8 at the most]",
)
@click.option(
    "--give-up-after",
    type=click.IntRange(1),
    help="End when every worker died so often in a row.  [default: never]",
)
@click.option(
    "--end-with-parent",
    is_flag=True,
    help="End when standard input is closed.",
)
def worker(
    gpus: str | None,
    device: str | None,
    workers: int | None,
    give_up_after: int | None,
    *,
    end_with_parent: bool,
) -> None:
    """Serve the queue with this machine's GPUs, or its CPU.

    It goes on until told to stop: Ctrl-C hands unfinished jobs back and keeps every
    finished image, a second one stops at once. Logs are in $NIGHTSWEEP_HOME/logs.
    """
    context = click.get_current_context()
    if device and context.get_parameter_source("gpus") is ParameterSource.ENVIRONMENT:
        gpus = None  # an option that was given beats a variable that was set
    seats = choose_seats(gpus=gpus, device=device, workers=workers)
    settings = read_settings()
    settings.make_home()
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("workers").setLevel(logging.INFO)
    app = make_app(broker_url(settings), lease_s=settings.lease_s)
    database = open_database(settings.database_url)

    def repair() -> None:
        broker_url(settings)  # the embedded server may have died, or been stopped
        reconcile(database, app)

    supervisor = Supervisor(
        seats,
        database=database,
        repair=repair,
        give_up_after=give_up_after,
    )
    _obey_signals(supervisor)
    if end_with_parent:
        threading.Thread(target=_wait_for_end, args=(supervisor,), daemon=True).start()
    shown = ", ".join(seat.name for seat in seats)
    click.echo(f"Serving with {shown}; logs in {settings.logs}.", err=True)
    sys.exit(supervisor.run())


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
