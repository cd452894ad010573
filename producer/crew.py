"""The workers of `run`: one process that supervises them, and its log."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from storage.settings import Settings

#: Deaths in a row of every worker after which `run` gives up.
GIVE_UP_AFTER = 4
#: Seconds between two looks whether to stop.
TICK_S = 0.1
#: Lines of the workers' log that are shown when they fail.
LOG_LINES = 6


class Crew:
    """The workers of this machine, as one process that supervises them.

    Attributes:
        interrupted: Whether somebody asked for the end.
        has_ended: Whether the process ended of itself.
    """

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        self._log = settings.logs / "supervisor.log"
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
        """Start the workers; end them with the block, or with this process.

        Ctrl-C hands unfinished jobs back; a second one ends the workers at once.
        """
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._interrupt),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-P", "-m", "nightsweep", "worker"),
                    *("--end-with-parent", "--give-up-after", str(GIVE_UP_AFTER)),
                    "--join",
                    *self._options,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self.interrupted:  # meanwhile
            self._process.terminate()
        try:
            yield
        finally:
            self.has_ended = self._process.poll() is not None
            # A second request would end the workers at once, in the midst of work.
            if not self.interrupted and not self.has_ended:
                self._process.terminate()
            self._process.wait()
            self._process.communicate()  # closes the pipe
            for number, handler in before.items():
                signal.signal(number, handler)

    def is_over(self) -> bool:
        """Tell whether the workers ended, or are to end."""
        has_ended = self._process is not None and self._process.poll() is not None
        return self.interrupted or has_ended

    def work_for(self, seconds: float) -> None:
        """Let so much time pass, or less if they end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.is_over():
            time.sleep(TICK_S)

    def last_words(self) -> str:
        """Give the end of the workers' log: why they ended."""
        if not self._log.exists():
            return ""
        lines = self._log.read_text(errors="replace").strip().splitlines()
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
