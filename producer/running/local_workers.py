"""The workers of `run`: for each back end a process that supervises them, and a log."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from storage.errors import UsageError
from storage.job import TORCH
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Supervisor:
    """The workers of one back end, as one process that supervises them.

    Attributes:
        process: The process.
        log: Its log, and where this run begins in the file.
    """

    process: "subprocess.Popen[bytes]"
    log: tuple[Path, int]

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def news(self) -> str:
        """Return its message for people; usually empty."""
        if self.process.stdout is None:
            return ""
        said = self.process.stdout.fileno()
        os.set_blocking(said, False)
        try:
            return os.read(said, MOST_NEWS).decode().strip()
        except BlockingIOError:
            return ""

    def last_words(self) -> str:
        path, begin = self.log
        with path.open("rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-LOG_LINES:])


class LocalWorkers:
    """The workers of this machine, by their back end.

    Attributes:
        interrupted: Whether somebody asked them to stop.
        has_ended: Whether those of a back end ended by themselves.
    """

    def __init__(
        self,
        settings: Settings,
        options: Mapping[str, Any],
        backends: Sequence[str] = (TORCH,),
    ) -> None:
        """Start nothing yet.

        Args:
            settings: Where the logs are.
            options: Those of `worker`; `workers` is meant for torch.
            backends: What the workers paint with.
        """
        self._logs = settings.logs
        self._options = {name: each for name, each in options.items() if each}
        self._backends = backends
        self._supervisors: dict[str, _Supervisor] = {}
        self.interrupted = self.has_ended = False

    @property
    def serving(self) -> set[str]:
        """The back ends whose workers have not ended."""
        return {b for b, each in self._supervisors.items() if not each.has_ended}

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
            with ExitStack() as stack:
                for backend in self._backends:
                    stack.enter_context(self._started(backend))
                if self.interrupted:  # meanwhile
                    self._terminate()
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _started(self, backend: str) -> Iterator[None]:
        with _open_log(self._logs) as log:
            begin = Path(log.name), log.tell()
            process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-P", "-m", "nightsweep", "worker"),
                    *("--end-with-parent", "--give-up-after", str(GIVE_UP_AFTER)),
                    *("--join", "--backend", backend, *self._words(backend)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._supervisors[backend] = _Supervisor(process=process, log=begin)
        try:
            yield
        finally:
            has_ended = process.poll() is not None
            self.has_ended |= has_ended
            # A second request would end the workers at once, in the middle of work.
            if not self.interrupted and not has_ended:
                process.terminate()
            process.wait()
            process.communicate()  # closes the pipes

    def is_over(self) -> bool:
        """Return whether all workers ended, or are to end."""
        return self.interrupted or bool(self._supervisors and not self.serving)

    def work_for(self, seconds: float) -> None:
        """Wait for so many seconds, or less if the workers end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.is_over():
            time.sleep(WORKERS_TICK_S)

    def news(self) -> str:
        """Return the supervisors' messages for people; usually empty."""
        return "\n".join(filter(None, (s.news() for s in self._supervisors.values())))

    def last_words(self) -> str:
        """Return the end of the logs of this run's workers: why they ended."""
        return "\n".join(each.last_words() for each in self._supervisors.values())

    def _words(self, backend: str) -> Iterator[str]:
        for name, value in self._options.items():
            if backend == TORCH or name != "workers":
                yield from (f"--{name}", str(value))

    def _terminate(self) -> None:
        for each in self._supervisors.values():
            each.process.terminate()

    def _interrupt(self, *_args: object) -> None:
        if not self.interrupted:
            click.echo(
                "\nStopping; finished images are kept. Ctrl-C again stops at once.",
                err=True,
            )
        self.interrupted = True
        self._terminate()


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
