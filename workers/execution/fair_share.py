"""How many jobs a worker may claim ahead of need, so as not to hold up the end."""

import math
from dataclasses import dataclass

from workers.vitals.recent import Recent

#: Seconds of its own work that a worker may have ready.
AHEAD_S = 60.0


@dataclass(slots=True, kw_only=True)
class FairShare:
    """What is known of a group's end: who paints, how wide, and how fast.

    Attributes:
        recent: How fast this worker is.
        width: Jobs that it paints at once.
        workers: Workers that may claim jobs of the group, itself included.
    """

    recent: Recent
    width: int = 1
    workers: int = 1

    @property
    def ahead(self) -> int:
        """Jobs to keep ready: a width, or what is made in a minute if that is less."""
        return min(self.width, self.recent.made_within(AHEAD_S) or self.width)

    @property
    def horizon(self) -> int:
        """Runnable jobs from which on there is no need to count or share them."""
        return 2 * self.width * self.workers + 1

    def of(self, left: int, *, held: int) -> int:
        """Return how many of `left` runnable jobs to claim, if `held` are here."""
        if left >= self.horizon:
            return left
        return math.ceil((left + held) / self.workers) - held

    def is_tail(self, left: int, *, waiting: int) -> bool:
        """Return whether the jobs waiting and still to come fill two widths at most."""
        return waiting + math.ceil(left / self.workers) <= 2 * self.width
