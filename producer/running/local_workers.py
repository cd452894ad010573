"""The workers of `run`: one process that supervises them, and its log."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from storage.errors import UsageError
from storage.settings import Settings

#: Crashes in a row of every worker after which `run` gives up.
GIVE_UP_AFTER = 4
#: Seconds between two checks whether to stop.
WORKERS_TICK_S = 0.1
#: Lines of the workers' log that are shown when they fail.
LOG_LINES = 6
#: Bytes after which a run begins another log; the last one is kept.
RUN_LOG_BYTES = 10_000_000
#: Bytes of news that are read at once.
MOST_NEWS = 4096


class LocalWorkers:
    """The workers of this machine, as one process that supervises them.

    Attributes:
        interrupted: Whether somebody asked them to stop.
        has_ended: Whether the process ended by itself.
    """

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        self._logs = settings.logs
        #: The log of this run's workers, and where it begins in the file.
        self._log: tuple[Path, int] | None = None
        self._options = [
            part
            for name, value in options.items()
            if value is not None
            for part in (f"--{name}", str(value))
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.interrupted = self.has_ended = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Start the workers; they end with the block, or with this process.

        Ctrl-C hands unfinished jobs back; a second one ends the workers at once.

        Raises:
            UsageError: Their log cannot be written.
        """
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._interrupt),
        }
        try:
            with self._started() as process:
                if self.interrupted:  # meanwhile
                    process.terminate()
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _started(self) -> Iterator["subprocess.Popen[bytes]"]:
        with _open_log(self._logs) as log:
            self._log = Path(log.name), log.tell()
            self._process = process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-P", "-m", "nightsweep", "worker"),
                    *("--end-with-parent", "--give-up-after", str(GIVE_UP_AFTER)),
                    "--join",
                    *self._options,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            self.has_ended = process.poll() is not None
            # A second request would end the workers at once, in the middle of work.
            if not self.interrupted and not self.has_ended:
                process.terminate()
            process.wait()
            process.communicate()  # closes the pipes

    def is_over(self) -> bool:
        """Return whether the workers ended, or are to end."""
        has_ended = self._process is not None and self._process.poll() is not None
        return self.interrupted or has_ended

    def work_for(self, seconds: float) -> None:
        """Wait for so many seconds, or less if the workers end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.is_over():
            time.sleep(WORKERS_TICK_S)

    def news(self) -> str:
        """Return the supervisor's message for people; usually empty."""
        if self._process is None or self._process.stdout is None:
            return ""
        said = self._process.stdout.fileno()
        os.set_blocking(said, False)
        try:
            return os.read(said, MOST_NEWS).decode().strip()
        except BlockingIOError:
            return ""

    def last_words(self) -> str:
        """Return the end of the workers' log of this run: why they ended."""
        if self._log is None:
            return ""
        path, begin = self._log
        with path.open("rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def _interrupt(self, *_args: object) -> None:
        if not self.interrupted:
            click.echo(
                "\nStopping; finished images are kept. Ctrl-C again stops at once.",
                err=True,
            )
        self.interrupted = True
        if self._process is not None:
            self._process.terminate()


def _open_log(folder: Path) -> IO[bytes]:
    """Open a log that no other run writes to, for appending.

    It stays locked while this run's supervisor, or one of its workers, has it open.
    """
    number = 1
    while True:
        path = folder / f"supervisor{'' if number == 1 else f'-{number}'}.log"
        log = _open_locked(path)
        if log is None:
            number += 1
        elif log.tell() < RUN_LOG_BYTES:
            return log
        else:
            path.replace(path.with_suffix(".log.1"))
            log.close()


def _open_locked(path: Path) -> IO[bytes] | None:
    """Open a file for appending, and lock it; None if another run has it."""
    try:
        log = path.open("ab")
    except OSError as exc:
        msg = (
            f"The workers' log must be a file that you can write, got {path} "
            f"({exc.strerror}); remove it, or change its owner."
        )
        raise UsageError(msg) from exc
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(log.fileno()), path.stat()):
            return log  # nobody replaced it meanwhile
    except (BlockingIOError, FileNotFoundError):
        pass
    log.close()
    return None
