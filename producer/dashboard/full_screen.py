"""The terminal as one screen that is drawn again and again, and left as it was.

What commands say meanwhile on standard error is kept, and printed when the screen is
left, so that it stays in the terminal's history.
"""

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

import click

from producer.dashboard.drawing import draw, draw_sweeps
from producer.dashboard.view import Message, View
from producer.display.messages import wrapped

if TYPE_CHECKING:
    from rich.live import Live

#: A smaller terminal gets lines.
LEAST_COLUMNS, LEAST_LINES = 40, 10
#: Terminals that cannot move the cursor.
SIMPLE_TERMINALS = ("", "dumb", "unknown")
#: Seconds between two looks at the size of the terminal.
RESIZE_POLL_S = 0.1
#: Lines that were said and are shown.
MOST_SAID = 20
#: What a process returns that a signal ended, less the signal's number.
ENDED_BY_SIGNAL = 128


def can_draw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal for a full screen, and wants one.

    `NO_COLOR` is taken as the wish for plain lines (https://no-color.org).
    """
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("TERM", "") in SIMPLE_TERMINALS:
        return False
    if not (stream.encoding or "").lower().startswith("utf"):
        return False
    columns, lines = os.get_terminal_size(stream.fileno())
    return columns >= LEAST_COLUMNS and lines >= LEAST_LINES


class FullScreen:
    """A terminal that shows a view.

    Attributes:
        said: What was written to standard error meanwhile, a line each.
    """

    def __init__(self, live: "Live") -> None:
        """Take the display, which has the terminal."""
        self.said: list[str] = []
        self._live = live
        self._view: View | None = None
        self._size = live.console.size

    def show(self, view: View) -> None:
        """Show another view, and the last lines that were said."""
        self._view, self._size = view, self._live.console.size
        said = [Message(text=line) for line in self.said[-MOST_SAID:]]
        shown = replace(view, messages=[*view.messages, *said])
        width, height = self._size
        # The terminal may be gone, which must not end the command.
        with suppress(OSError):
            drawn = draw(shown, width=width, height=height)
            self._live.update(drawn, refresh=True)

    def wait(self, seconds: float) -> None:
        """Wait, and draw again if the terminal gets another size."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            time.sleep(min(RESIZE_POLL_S, left_s))
            if self._view and self._live.console.size != self._size:
                self.show(self._view)

    def leave(self) -> None:
        """Give the terminal back, and print what was said, then the sweeps."""
        with suppress(OSError):
            self._live.stop()
            for line in self.said:
                click.echo(wrapped(line), err=True)
            if self._view:
                last = draw_sweeps(self._view, width=self._live.console.width)
                self._live.console.print(last)


@contextmanager
def full_screen(stream: TextIO) -> Iterator[FullScreen]:
    """Take the terminal for the block, and give it back as it was.

    Ctrl-Z gives it back until the command goes on.
    """
    from rich.console import Console
    from rich.live import Live

    live = Live(
        console=Console(file=stream, markup=False, highlight=False, emoji=False),
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    screen = FullScreen(live)
    try:
        with redirect_stderr(_Said(screen.said)), _handling_signals(live):
            live.start()
            yield screen
    finally:
        screen.leave()


class _Said(io.StringIO):
    """A standard error that keeps lines, whichever thread writes them."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines
        self._rest = ""

    def write(self, text: str) -> int:
        *whole, self._rest = (self._rest + text).split("\n")
        self._lines += filter(None, whole)
        return len(text)


@contextmanager
def _handling_signals(live: "Live") -> Iterator[None]:
    """Give the terminal back where a signal ends or stops this process."""

    def end(number: int, _frame: object) -> None:
        sys.exit(ENDED_BY_SIGNAL + number)

    def stop(*_args: object) -> None:
        live.stop()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when the process goes on
        signal.signal(signal.SIGTSTP, stop)
        live.start(refresh=True)

    handlers: dict[int, Any] = {signal.SIGTSTP: stop}
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        handlers[signal.SIGTERM] = end
    before = {number: signal.signal(number, one) for number, one in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
