"""A turn at the GPU: one message's worth of work, and similar work.

A message names some jobs, and thereby their groups. As long as one of these groups, or
another one of the same model, has runnable jobs in SQL, the turn makes the most urgent
group that waits, until the time is up. So it matters little how a sweep was cut into
messages, and a loaded model is used.
"""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from storage.errors import NightsweepError, UnfitError, in_words
from storage.jobs.runnable_groups import (
    Group,
    compare_owners,
    groups_of,
    runnable_groups,
)
from workers.execution.context import ENDINGS, Context
from workers.execution.prefetch import Prefetch
from workers.execution.result_writer import ResultWriter
from workers.painting import Painter
from workers.vitals.recent import Recent

log = logging.getLogger(__name__)

#: Seconds after which a turn ends, to let other groups in.
TURN_S = 600.0


@dataclass(slots=True, kw_only=True)
class Turn:
    """Takes the messages of a worker process, one after the other.

    Attributes:
        context: What the process works with.
        painter: What makes the pictures.
        recent: How the process did of late.
    """

    context: Context
    painter: Painter
    recent: Recent = field(default_factory=Recent)
    _kind: tuple[int, str] | None = None
    #: By group, what keeps this worker from making it, as last logged.
    _said: dict[str, str] = field(default_factory=dict)

    def take(self, keys: Sequence[str]) -> None:
        """Make the groups of `keys`, then others of the same model.

        A group that this worker cannot make is set aside for a while: its jobs go
        back, and people are told why. All that is painted is stored at the end.

        Raises:
            StoppedError: The worker was asked to end; unmade jobs went back.
            WrongPlaceError: The database is another one by now.
            DeviceError: The device is of no more use; unmade jobs went back.
        """
        database = self.context.database
        named = self.context.patiently(lambda: groups_of(database, keys))
        began = time.monotonic()
        ends = began + TURN_S
        self.recent.begin()
        try:
            while named and time.monotonic() < ends and (group := self._choose(named)):
                self._make(group, ends)
        finally:
            self.recent.end_turn(time.monotonic() - began)

    def _choose(self, named: Collection[str]) -> Group | None:
        """Return the most urgent group, as long as there is one that this turn is for.

        Of equally urgent groups, those come first whose owners are less than a slice
        of GPU time ahead of others. Of these, those whose model was in use last come
        first, so that models are switched as rarely as possible; then those that the
        message names.
        """

        def place(group: Group) -> tuple[int, int, bool, bool]:
            is_other = group.kind != self._kind
            return (group.priority, group.slices, is_other, group.key not in named)

        waiting = self.context.patiently(self._waiting)
        is_mine = any(g.key in named or g.kind == self._kind for g in waiting)
        return min(waiting, key=place) if is_mine else None

    def _waiting(self) -> list[Group]:
        """Return the groups that this worker could make now."""
        is_resting = self.context.is_resting()
        database = self.context.database
        found = runnable_groups(database, self.context.backend)
        able = [group for group in found if not is_resting(group.key)]
        return compare_owners(database, able)

    def _is_outranked(self, key: str) -> bool:
        """Return whether another group is more urgent, or its owner's turn has come."""
        waiting = {g.key: (g.priority, g.slices) for g in self._waiting()}
        return key in waiting and min(waiting.values()) < waiting[key]

    def _make(self, group: Group, ends: float) -> None:
        """Make the jobs of a group until there are none, or the turn is over."""
        writer = ResultWriter(self.context, self.recent)
        prefetch = Prefetch(
            self.context,
            group.key,
            writer=writer,
            recent=self.recent,
            is_over=lambda: time.monotonic() >= ends or self._is_outranked(group.key),
        )
        self._kind = group.kind
        try:
            with writer, prefetch:
                self._paint(prefetch)
            self._said.pop(group.key, None)
        except UnfitError as exc:
            self._kind = None
            self._set_aside(group.key, str(exc))

    def _paint(self, prefetch: Prefetch) -> None:
        is_done = False
        while not is_done:
            is_done = self.context.patiently(
                lambda: self._paint_once(prefetch), check=prefetch.check
            )

    def _paint_once(self, prefetch: Prefetch) -> bool:
        """Paint until done or an error is handled; return whether all is done."""
        try:
            self.painter.paint(prefetch)
        except ENDINGS:
            raise
        except Exception as exc:
            if isinstance(exc, NightsweepError) and exc.retryable:
                prefetch.restart(one_by_one=False)
                raise
            self._find_fault(prefetch, exc)
            return False
        return True

    def _find_fault(self, prefetch: Prefetch, exc: Exception) -> None:
        """Fail the job that raised an unforeseen error, or find out which it was."""
        log.error(
            "Painting failed with %d in hand.",
            prefetch.in_hand,
            exc_info=exc,
            extra={"action": "painting_failed"},
        )
        if prefetch.in_hand > 1:
            prefetch.restart(one_by_one=True)
            return
        error = in_words(exc)
        self.recent.surprised_by(error)
        prefetch.blame(error)

    def _set_aside(self, key: str, reason: str) -> None:
        if self._said.get(key) != reason:
            log.error("%s", reason, extra={"action": "group_blocked"})
        self._said[key] = reason
        self.context.patiently(lambda: self.context.block(key, reason))
