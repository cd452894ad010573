"""Progress of `run`: the full screen on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from producer.dashboard.full_screen import FullScreen, can_draw, full_screen
from producer.dashboard.view import Failures, Paces, Reasons, View, notes
from producer.running.progress import Lines, Show
from producer.running.sweep_state import Standing
from storage.fleet.progress import Worker


@contextmanager
def progress_shown(
    first: Standing, find_reasons: Callable[[], Reasons], *, is_plain: bool
) -> Iterator[Show]:
    """Yield a function that shows how far a sweep is; call it now and then.

    Args:
        first: How far it is at the beginning.
        find_reasons: Returns the reasons for its failures; called if there are more.
        is_plain: Whether to write lines on a terminal, too.
    """
    if is_plain or not can_draw(sys.stderr):
        yield Lines(first)
        return
    with full_screen(sys.stderr) as screen:
        yield _RunScreen(screen, find_reasons)


class _RunScreen:
    def __init__(self, screen: FullScreen, find_reasons: Callable[[], Reasons]) -> None:
        self._screen = screen
        self._find_reasons = find_reasons
        self._paces = Paces()
        self._failures = Failures()
        self._failed = 0
        self._reasons: Reasons = ()

    def __call__(
        self,
        now: Standing,
        workers: Sequence[Worker],
        *,
        models: int = 1,
        others: int = 0,
    ) -> None:
        """Show it."""
        at = datetime.now(UTC).astimezone()
        if now.failed + now.quarantined != self._failed:
            self._failed = now.failed + now.quarantined
            self._reasons = self._find_reasons()
        view = View(
            at=at,
            sweeps=self._paces.look(
                [now], workers, leased=now.leased + others, models=models
            ),
            workers=workers,
            messages=[
                *self._failures.look({now.sweep: self._reasons}, at),
                *notes([now]),
            ],
        )
        self._screen.show(view)
