"""Jobs that nobody wants any more: a thread that takes them out of a worker's hands.

When a sweep is paused or cancelled, its jobs that only wait here go back at once. The
painter learns which jobs in its hands are unwanted, and lets them go at the end of its
step; they go back too, as if never begun.
"""

import threading
from contextlib import suppress

from storage.errors import DatabaseError
from storage.job import Job
from storage.jobs import claims
from workers.execution.context import Context, ending
from workers.execution.prefetched import Prefetched

#: Seconds between two checks of what is still wanted.
CANCEL_POLL_S = 0.5


class Cancellation:
    """Checks now and then which prefetched jobs are no longer wanted.

    Attributes:
        trouble: What ended its thread, if anything did.
    """

    def __init__(
        self, context: Context, prefetched: Prefetched, changed: threading.Condition
    ) -> None:
        """Look at nothing yet.

        Args:
            context: Where jobs are claimed, and by whom.
            prefetched: The jobs.
            changed: Held while the jobs are touched, and notified of each change.
        """
        self.trouble: Exception | None = None
        self._context = context
        self._prefetched = prefetched
        self._changed = changed
        #: Ids of the jobs that the painter is to let go, and of those it let go.
        self._unwanted: set[int] = set()
        self._let_go: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancel", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Stop looking, and hand back the jobs that were let go last."""
        self._ended.set()
        self._thread.join()
        self._context.hand_back(self._let_go)

    def take(self) -> list[Job]:
        """Return the unwanted jobs in hand, each once; they go back."""
        if not self._unwanted:
            return []
        with self._changed:
            gone = self._prefetched.withdraw_in_hand(self._unwanted)
            self._unwanted = set()
            self._let_go += [claim.id for claim in gone]
            self._changed.notify_all()
        return [claim.job for claim in gone]

    def _run(self) -> None:
        try:
            while not self._ended.wait(CANCEL_POLL_S):
                # While the database is away, nobody can change what is wanted either.
                with suppress(DatabaseError):
                    self._look()
        except Exception as exc:  # noqa: BLE001 - the painter's thread raises it
            self.trouble = ending(exc)

    def _look(self) -> None:
        unwanted = claims.unwanted(self._context.database, self._context.owner)
        with self._changed:
            gone = self._prefetched.withdraw_waiting(unwanted)
            back, self._let_go = self._let_go, []
            self._unwanted = unwanted.difference(back)
            self._changed.notify_all()
        self._context.hand_back([*back, *(claim.id for claim in gone)])
