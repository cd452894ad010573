"""Runs in the background: each has a session, a log and a lock of its own.

The lock is a file in the state folder that holds the process's id. The kernel frees it
when the process ends, however that is, so an id in a locked file is never old.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from storage.errors import UsageError
from storage.host.log_lines import StampedLines
from storage.settings import Settings, read_settings

#: Bytes after which a run begins another log; the last one is kept.
RUN_LOG_BYTES = 10_000_000
#: Tries to take or to read a lock that somebody holds for a moment, and their pause.
TRIES, PAUSE_S = 20, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundRun:
    """A run in the background of this machine.

    Attributes:
        sweep: What it makes.
        pid: Its process.
    """

    sweep: str
    pid: int


def find_runs(settings: Settings) -> list[BackgroundRun]:
    """Return the runs in the background of this state folder, by name."""
    names = sorted(path.stem for path in _folder(settings).glob("*.lock"))
    return [run for name in names if (run := find_run(settings, name))]


def find_run(settings: Settings, sweep: str) -> BackgroundRun | None:
    """Return the run that makes a sweep in the background, if there is one."""
    path = _path(settings, sweep)
    for _ in range(TRIES):
        try:
            pid = _holder(path)
        except OSError:
            return None
        if pid is None:
            return None
        if pid:
            return BackgroundRun(sweep=sweep, pid=pid)
        time.sleep(PAUSE_S)  # it has begun, and writes its id next
    return None


def start_run(
    settings: Settings, sweep: str, options: Sequence[str], log: Path
) -> "subprocess.Popen[bytes] | None":
    """Start a run of a stored sweep that outlives this process and its terminal.

    Args:
        settings: Where its state is.
        sweep: The sweep's name.
        options: Those of `run`.
        log: File to which its words are appended.

    Returns:
        The process; None if the sweep is made in the background already.

    Raises:
        UsageError: Its log or its lock cannot be written.
    """
    try:
        lock = _taken(_path(settings, sweep))
        if lock is None:
            return None
        try:
            if log.exists() and log.stat().st_size >= RUN_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
            with log.open("ab") as words:
                return subprocess.Popen(  # noqa: S603 - our own command
                    [
                        *(sys.executable, "-P", "-m", "nightsweep", "run", "--yes"),
                        *("--background", str(lock), *options, "--", sweep),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    start_new_session=True,
                    pass_fds=[lock],
                )
        finally:
            os.close(lock)
    except OSError as exc:
        msg = (
            "A run in the background must be able to write its log and its lock, but "
            f"{exc.filename} gives: {exc.strerror}; remove it, or change its owner."
        )
        raise UsageError(msg) from exc


@contextmanager
def in_background(lock: int, sweep: str) -> Iterator[None]:
    """Make this process the run that `start_run` started, and give its words a time.

    Args:
        lock: Descriptor of the lock, which was passed on.
        sweep: What it makes.
    """
    os.set_inheritable(lock, False)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    as_json = read_settings().json_logs
    about = {"worker": f"run-{sweep}", "sweep": sweep}
    with (
        redirect_stdout(StampedLines(sys.stdout, **about, as_json=as_json)),
        redirect_stderr(StampedLines(sys.stderr, **about, as_json=as_json)),
    ):
        yield


def _folder(settings: Settings) -> Path:
    return settings.home / "runs"


def _path(settings: Settings, sweep: str) -> Path:
    return _folder(settings) / f"{sweep}.lock"


def _taken(path: Path) -> int | None:
    """Open a lock and take it; return None if another process keeps it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            return lock
        time.sleep(PAUSE_S)
    os.close(lock)
    return None


def _holder(path: Path) -> int | None:
    """Return the process that holds a lock; 0 if it is still unknown, None if none."""
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0)
    return None
