"""`nightsweep run --detach`: the same run, in the background."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from producer.display.messages import talk
from producer.options import program
from producer.running.background import BackgroundRun, find_run, start_run
from producer.running.local_workers import LOG_LINES
from producer.submission.opening import opened_to_read
from storage.errors import UsageError
from storage.fleet.progress import list_workers
from storage.host.worker_ids import my_host
from storage.jobs.sweeps import require_sweeps
from storage.settings import Settings
from storage.sql.clocks import ago
from storage.sql.database import Database

#: Seconds between two looks whether the run has workers.
LOOK_S = 0.2
#: Seconds after which they are not waited for any more: torch may load slowly.
LONGEST_S = 60.0
#: Runs that go on without this process. Python warns of a process that it forgets.
_left_alone: list["Popen[bytes]"] = []


def is_under_way(settings: Settings, sweep: str) -> bool:
    """Return whether a sweep is made in the background here, and say so."""
    run = find_run(settings, sweep)
    if run:
        talk(f"{sweep} is under way in the background, {_how_to(run)}")
    return run is not None


def detach(
    settings: Settings,
    database: Database,
    sweep: str,
    options: Mapping[str, Any],
    channels: Sequence[tuple[str, str]],
) -> int:
    """Start a run in the background, and wait until it has workers.

    Args:
        settings: Where its state is.
        database: Where the sweep is stored.
        sweep: Its name.
        options: Those of `worker`.
        channels: The values of `--on`.

    Returns:
        The exit code: that of the run, if it has ended by now.
    """
    process = _start(settings, database, sweep, [*_words(options, channels)])
    if process is None:  # somebody else was faster
        return 0 if is_under_way(settings, sweep) else 1
    code = process.poll()
    if code is not None:
        log = _log(settings, sweep)
        talk(f"{sweep} has ended in the background with code {code}; {log} says:")
        talk(_last_words(log))
        return code
    run = BackgroundRun(sweep=sweep, pid=process.pid)
    talk(f"{sweep} is made in the background from now on, {_how_to(run)}")
    return 0


def make_here(settings: Settings, sweep: str) -> str:
    """Start a run of a stored sweep as `run --detach` does; return what to say of it.

    Raises:
        UsageError: There is no such sweep, or the run ended before it had workers.
    """
    with opened_to_read(settings) as database:
        require_sweeps(database, [sweep])
        process = _start(settings, database, sweep, [])
    if process is not None and process.poll() not in (None, 0):
        log = _log(settings, sweep)
        msg = (
            f"A run must have workers, but that of {sweep} ended before; `{program()} "
            f"logs run-{sweep}` says why: {_last_words(log)}"
        )
        raise UsageError(msg)
    return (
        f"{sweep} is made on this machine, in the background; `{program()} stop "
        f"{sweep}` ends that."
    )


def _start(
    settings: Settings, database: Database, sweep: str, words: Sequence[str]
) -> "Popen[bytes] | None":
    """Start a run, and wait until it has workers; None if there is one already."""
    with database.read() as connection:
        began = ago(connection)
    process = start_run(settings, sweep, words, _log(settings, sweep))
    if process is not None:
        _left_alone[:] = [each for each in _left_alone if each.poll() is None]
        _left_alone.append(process)
        _wait_for_workers(process, database, began)
    return process


def _log(settings: Settings, sweep: str) -> Path:
    return settings.logs / f"run-{sweep}.log"


def _how_to(run: BackgroundRun) -> str:
    look = f"`{program()} status --watch {run.sweep}` shows it"
    read = f"`{program()} logs` says what happened"
    return (
        f"by process {run.pid}: {look}, {read}, `{program()} stop {run.sweep}` ends it."
    )


def _words(
    options: Mapping[str, Any], channels: Sequence[tuple[str, str]]
) -> Sequence[str]:
    given = [
        word
        for name, value in options.items()
        if value
        for word in (f"--{name}", str(value))
    ]
    told = [word for event, command in channels for word in ("--on", event, command)]
    return [*given, *told]


def _wait_for_workers(process: "Popen[bytes]", database: Database, began: str) -> None:
    """Wait until a worker of this host is heard, or the run has ended."""
    until = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < until:
        heard = (one for one in list_workers(database) if one.seen_at >= began)
        if any(one.host == my_host() for one in heard):
            return
        time.sleep(LOOK_S)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])
