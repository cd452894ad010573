"""How much of a model was fetched, as it comes: a bar on a terminal, or lines."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from producer.display.amounts import size
from producer.display.text_width import shorten

#: Seconds between two looks at the disk on a terminal, and between two lines elsewhere.
LOOK_S, LINE_S = 0.5, 10.0
#: Most letters of a model's name beside a bar, which needs the room.
BAR_NAME_WIDTH = 24


@contextmanager
def fetch_shown(
    name: str, missing_bytes: int, measure: Callable[[], int]
) -> Iterator[None]:
    """Show how far a download is while the block runs.

    Args:
        name: The model.
        missing_bytes: What must come.
        measure: Returns the bytes of the model on disk.
    """
    before = measure()

    def came() -> int:
        return min(max(measure() - before, 0), missing_bytes)

    if not sys.stderr.isatty():
        with _repeated(LINE_S, lambda: _write_line(name, came(), missing_bytes)):
            yield
        return
    with _bar(name, missing_bytes) as move, _repeated(LOOK_S, lambda: move(came())):
        yield


def _write_line(name: str, came: int, wanted: int) -> None:
    share = came / max(wanted, 1)
    click.echo(f"{name}: {size(came)} of {size(wanted)} ({share:.1%})", err=True)


@contextmanager
def _bar(name: str, wanted: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),  # the only column that shrinks on a narrow terminal
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(shorten(name, BAR_NAME_WIDTH), total=wanted)
        yield lambda came: progress.update(task, completed=came)
        progress.update(task, completed=wanted)


@contextmanager
def _repeated(every_s: float, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` again and again in a thread, until the block ends."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(every_s):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
