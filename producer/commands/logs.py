"""The command `nightsweep logs`: what workers and runs of this machine wrote."""

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import click

from producer.completion import Words, answering, complete_sweep
from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.options import program
from producer.running.log_files import Logs, find_logs
from producer.submission.opening import opened_to_read
from storage.errors import DatabaseError, UsageError
from storage.fleet.progress import list_workers
from storage.host.log_lines import LogLine, as_time
from storage.host.worker_ids import my_host
from storage.settings import Settings, read_settings

#: Lines that are shown without --since and --lines.
USUAL_LINES = 200
#: Seconds between two looks at growing files.
LOOK_S = 0.5
LEVELS = ("debug", "info", "warning", "error", "critical")
_COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _read_since(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> str:
    """Return the moment as lines have it; empty for none."""
    if text is None:
        return ""
    now = datetime.now(UTC).astimezone()
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        return as_time(now - timedelta(**{_UNITS[found[2]]: int(found[1])}))
    if found := re.fullmatch(r"(\d{1,2}):(\d\d)", text):
        with suppress(ValueError):
            at = now.replace(
                hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0
            )
            return as_time(at if at <= now else at - timedelta(days=1))
    with suppress(ValueError):
        return as_time(datetime.fromisoformat(text).astimezone())
    msg = (
        "--since must be a time span (90s, 10m, 8h, 2d), a time of day (22:30) or a "
        f"date (2026-11-28T22:30), got {text!r}."
    )
    raise UsageError(msg)


@answering
def _complete_worker(_context: click.Context, typed: str) -> Words:
    names = find_logs(read_settings().logs)
    return [(name, "") for name in names if name.startswith(typed)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which lines are wanted.

    Attributes:
        since: The first moment; empty for any.
        level: The least level, of `LEVELS`.
        sweep: The sweep that they are about; None for any.
    """

    since: str
    level: str
    sweep: str | None

    def __call__(self, line: LogLine) -> bool:
        """Return whether a line is."""
        # Levels of other programs are always shown.
        rank = {each.upper(): number for number, each in enumerate(LEVELS)}
        return (
            line.time >= self.since
            and rank.get(line.level, len(LEVELS)) >= rank[self.level.upper()]
            and self.sweep in (None, line.sweep)
        )


@click.command(epilog="Example: nightsweep logs -f gpu0 --level warning")
@click.argument(
    "workers", metavar="[WORKER]...", nargs=-1, shell_complete=_complete_worker
)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written.")
@click.option(
    "--sweep",
    metavar="NAME",
    shell_complete=complete_sweep,
    help="Only lines about jobs that this sweep wanted first.  [default: all]",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=_read_since,
    help="Only lines since then: 10m ago, 8h ago, or 22:30.  [default: any time]",
)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="The least level.",
)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1),
    help=f"Only the last lines.  [default: {USUAL_LINES}, or all with --since]",
)
@json_option
def logs(
    workers: Sequence[str],
    since: str,
    lines: int | None,
    *,
    follow: bool,
    as_json: bool,
    **about: str,
) -> None:
    """Show what workers and background runs of this machine wrote, by time.

    A line has the time, the level, the worker, the sweep and the key of a job, if it is
    about one, and a message. Without WORKER, the logs of all are merged. Each worker
    writes to $NIGHTSWEEP_HOME/logs on its own host, so ask there. It reads files only,
    and answers while SQL and Redis are away.
    """
    settings = read_settings()
    _require_here(settings, workers)
    wanted = _Wanted(since=since, level=about["level"], sweep=about["sweep"])
    most = lines or (None if since else USUAL_LINES)
    with closing(Logs(settings.logs, workers)) as found:
        _show(deque(filter(wanted, found.read()), maxlen=most), as_json=as_json)
        with suppress(KeyboardInterrupt):
            while follow:
                time.sleep(LOOK_S)
                _show(filter(wanted, found.read()), as_json=as_json)
    _tell_other_hosts(settings, workers)


def _show(lines: Iterable[LogLine], *, as_json: bool) -> None:
    if as_json:
        write_json(map(asdict, lines))
        return
    color = False if os.environ.get("NO_COLOR") else None
    for line in lines:
        click.secho(_text(line), fg=_COLORS.get(line.level), color=color)


def _text(line: LogLine) -> str:
    at = datetime.fromisoformat(line.time).astimezone()
    return str(line).replace(line.time, f"{at:%Y-%m-%d %H:%M:%S}", 1)


def _require_here(settings: Settings, workers: Sequence[str]) -> None:
    """Refuse workers that have no log here; say where they are if that is known."""
    here = find_logs(settings.logs)
    for name in workers:
        if name in here:
            continue
        msg = (
            f"WORKER must have a log in {settings.logs} "
            f"({', '.join(here) or 'there is none'}), got {name!r}"
        )
        hosts = [host for host, there in _elsewhere(settings) if there == name]
        if hosts:
            msg += f"; it works on {hosts[0]}: {_remote(hosts[0], name)}."
        else:
            msg += f"; `--sweep {name}` chooses the lines about a sweep's jobs."
        raise UsageError(msg)


def _tell_other_hosts(settings: Settings, workers: Sequence[str]) -> None:
    if not workers and (hosts := sorted({host for host, _ in _elsewhere(settings)})):
        talk(
            f"Workers of {', '.join(hosts)} have their logs there: "
            f"{_remote(hosts[0], '')}."
        )


def _remote(host: str, name: str) -> str:
    words = f"{program()} logs {name}".rstrip()
    return f"`ssh {host} {words}`"


def _elsewhere(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the workers of other hosts, as host and name; none if SQL is away."""
    with suppress(UsageError, DatabaseError), opened_to_read(settings) as database:
        for worker in list_workers(database):
            if worker.host != my_host():
                yield worker.host, worker.name
