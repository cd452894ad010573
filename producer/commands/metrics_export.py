"""The command `nightsweep metrics`: what Prometheus reads."""

import time
from contextlib import suppress
from pathlib import Path

import click

from producer.commands.view import LEAST_TOKEN
from producer.display.messages import talk
from storage.errors import UsageError
from storage.settings import Settings, read_settings

#: The port, below those of galleries.
PORT = 8469


@click.command(epilog="Example: nightsweep metrics --file nightsweep.prom --once")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PORT,
    help="Port to serve on.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to serve on; anything but this machine itself needs a token.",
)
@click.option(
    "--token",
    envvar="NIGHTSWEEP_TOKEN",
    show_envvar=True,
    metavar="TEXT",
    help="What Prometheus must send, 16 letters or more; better set in the "
    "environment, since `ps` shows options.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.prom",
    help="Serve nothing: write this file again and again, for node_exporter's textfile "
    "collector.",
)
@click.option(
    "--every",
    "every_s",
    type=click.IntRange(1, 3600),
    default=15,
    metavar="SECONDS",
    help="Pause between two writes of --file.",
)
@click.option("--once", is_flag=True, help="Write --file once, without counters.")
def metrics(
    *,
    port: int,
    host: str,
    token: str | None,
    path: Path | None,
    every_s: int,
    once: bool,
) -> None:
    """Export metrics of sweeps, workers and disk to Prometheus.

    Serves http://127.0.0.1:8469/metrics until Ctrl-C. It reads SQL only, and changes
    nothing; one is enough for all hosts that share a database. docs/monitoring.md
    lists the metrics, and deploy/ has alert rules and a dashboard.
    """
    settings = read_settings()
    with suppress(KeyboardInterrupt):
        if path:
            _write(settings, path, every_s=None if once else every_s)
        elif once:
            msg = "--once must come with --file, got it alone; add --file FILE.prom."
            raise UsageError(msg)
        else:
            _serve(settings, host, port=port, token=token)


def _serve(settings: Settings, host: str, *, port: int, token: str | None) -> None:
    # Imported here: the help needs no server.
    from producer.commands.view_address import Address
    from producer.monitoring.figures import Figures
    from producer.monitoring.metrics_server import MetricsServer
    from producer.monitoring.scrapes import Scrapes

    with Address.bound(host, port) as address:
        _check_token(token, host=host, is_loopback=address.is_loopback)
        scrapes = Scrapes(settings, Figures(settings.image_folder))
        server = MetricsServer(
            address.listening, scrapes.answer, hosts=address.hosts, token=token
        )
        talk(f"Serving {address.url()}metrics; Ctrl-C ends it.")
        server.serve_forever()


def _check_token(token: str | None, *, host: str, is_loopback: bool) -> None:
    if token is not None and len(token) < LEAST_TOKEN:
        msg = (
            f"--token must have {LEAST_TOKEN} letters or more, got {len(token)}; take "
            "the output of `openssl rand -hex 32`."
        )
        raise UsageError(msg)
    if token is None and not is_loopback:
        msg = (
            f"--host must be of this machine only without a token, got {host}; set "
            "NIGHTSWEEP_TOKEN, and give Prometheus the same as `authorization: "
            "{credentials: ...}`."
        )
        raise UsageError(msg)


def _write(settings: Settings, path: Path, *, every_s: int | None) -> None:
    # Imported here: the help needs no database.
    from producer.monitoring.figures import Figures
    from producer.monitoring.scrapes import Scrapes
    from storage.host.atomic_writes import replacing

    scrapes = Scrapes(settings, Figures(settings.image_folder))
    while True:
        text = scrapes.answer()
        try:
            with replacing(path) as fresh:
                fresh.write_text(text)
        except OSError as exc:
            msg = f"--file must be a file that can be written, got {path}: {exc}."
            raise UsageError(msg) from exc
        if every_s is None:
            return
        time.sleep(every_s)
