"""Progress as it happens: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from producer.amounts import duration
from producer.tables import shorten
from producer.watch import Standing

#: Seconds between two lines where standard error is no terminal.
LINE_S = 10.0
#: Seconds over which the rate is taken.
WINDOW_S = 30.0
#: Characters of a sweep's name beside a bar, which needs the room.
NAME_WIDTH = 24

_LOADING = "loading the model"


@contextmanager
def progress_shown(first: Standing) -> Iterator[Callable[[Standing], None]]:
    """Give a function that shows how far a sweep is; call it now and then."""
    pace = _Pace(first)
    if not sys.stderr.isatty():
        yield _Lines(pace)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),  # the only one that gives way on a narrow terminal
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        ended = first.total - first.unmade
        task = progress.add_task(
            shorten(first.sweep, NAME_WIDTH),
            total=first.total,
            completed=ended,
            pace=pace.text(first),
        )

        def show(now: Standing) -> None:
            ended = now.total - now.unmade
            progress.update(task, completed=ended, pace=pace.text(now))

        yield show


class _Pace:
    """Images a second of late, and what that means for the rest."""

    def __init__(self, first: Standing) -> None:
        self._seen = deque([(time.monotonic(), first.done)])

    def text(self, now: Standing) -> str:
        """Say the rate, the time left and the failures."""
        moment = time.monotonic()
        self._seen.append((moment, now.done))
        while moment - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        then, done = self._seen[0]
        rate = (now.done - done) / (moment - then) if moment > then else 0.0
        if not rate:
            return _LOADING if not now.done else ""
        parts = [f"{rate:.2f} images/s", f"{duration(now.unmade / rate)} left"]
        failed = now.failed + now.quarantined
        return " · ".join([*parts, f"{failed:,} failed"] if failed else parts)


class _Lines:
    """Progress for a log: a line every ten seconds."""

    def __init__(self, pace: _Pace) -> None:
        self._pace = pace
        self._said = 0.0
        self._has_told_loading = False

    def __call__(self, now: Standing) -> None:
        """Say how far it is, if the last line is old enough."""
        if time.monotonic() - self._said < LINE_S and now.unmade:
            return
        self._said = time.monotonic()
        ended = now.total - now.unmade
        pace = self._pace.text(now)
        if pace == _LOADING:
            pace = "" if self._has_told_loading else pace
            self._has_told_loading = True
        click.echo(f"{now.sweep}: {ended:,} of {now.total:,} {pace}".rstrip(), err=True)
