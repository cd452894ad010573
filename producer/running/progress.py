"""Progress as it happens: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import click

from producer.display.text_width import shorten
from producer.running.pace import Pace
from producer.running.sweep_state import Standing
from storage.fleet.progress import Worker

#: Seconds between two lines if standard error is no terminal.
PROGRESS_LINE_S = 10.0
#: Characters of a sweep's name beside a bar, which needs the room.
BAR_NAME_WIDTH = 24


class Show(Protocol):
    """Shows how far a sweep is; the arguments are those of `Pace.look`."""

    def __call__(self, now: Standing, workers: Sequence[Worker], **more: int) -> None:
        """Show it."""


@contextmanager
def progress_shown(first: Standing) -> Iterator[Show]:
    """Yield a function that shows how far a sweep is; call it now and then."""
    pace = Pace(first)
    if not sys.stderr.isatty():
        yield _Lines(pace)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),  # the only column that shrinks on a narrow terminal
        TextColumn("{task.fields[ended]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        ended = first.total - first.unmade
        task = progress.add_task(
            shorten(first.sweep, BAR_NAME_WIDTH),
            total=first.total,
            completed=ended,
            ended=f"{ended:,}/{first.total:,}",
            pace="",
        )

        def show(now: Standing, workers: Sequence[Worker], **more: int) -> None:
            pace.look(now, workers, **more)
            # Steps in hand move the bar, but are not counted as images.
            progress.update(
                task,
                completed=pace.ended,
                ended=f"{now.total - now.unmade:,}/{now.total:,}",
                pace=pace.text(),
            )

        yield show


class _Lines:
    """Progress for a log: a line every ten seconds."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._said = 0.0
        self._is_over = False

    def __call__(self, now: Standing, workers: Sequence[Worker], **more: int) -> None:
        """Say how far it is, if the last line is old enough."""
        self._pace.look(now, workers, **more)
        is_due = time.monotonic() - self._said >= PROGRESS_LINE_S
        if self._is_over or (now.unmade and not is_due):
            return  # what comes after the images is said elsewhere
        self._is_over = not now.unmade
        self._said = time.monotonic()
        ended = now.total - now.unmade
        share = ended / max(now.total, 1)
        said = f"{now.sweep}: {ended:,} of {now.total:,} ({share:.1%}) "
        text = self._pace.text(with_reason=True)
        click.echo(f"{said}{text}".rstrip(), err=True)
