"""Progress as lines, one now and then, for logs and pipes."""

import time
from collections.abc import Sequence
from typing import Protocol

import click

from producer.running.pace import Pace
from producer.running.sweep_state import Standing
from storage.fleet.progress import Worker

#: Seconds between two lines.
PROGRESS_LINE_S = 10.0


class Show(Protocol):
    """Shows how far a sweep is; the arguments are those of `Pace.look`."""

    def __call__(
        self,
        now: Standing,
        workers: Sequence[Worker],
        *,
        models: int = 1,
        others: int = 0,
    ) -> None:
        """Show it."""


class Lines:
    """Shows it on standard error, a line every ten seconds."""

    def __init__(self, first: Standing) -> None:
        """Begin with how far the sweep is."""
        self._pace = Pace(first)
        self._said = 0.0
        self._is_over = False

    def __call__(
        self,
        now: Standing,
        workers: Sequence[Worker],
        *,
        models: int = 1,
        others: int = 0,
    ) -> None:
        """Say how far it is, if the last line is old enough."""
        self._pace.look(now, workers, models=models, others=others)
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
