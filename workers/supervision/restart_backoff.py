"""Restart backoff: how long the placement of a worker that ended stays empty."""

import time
from dataclasses import dataclass

#: Seconds after the first end in a row; doubled with each end, up to the most.
BACK_OFF_S = 1.0
MOST_BACK_OFF_S = 60.0
#: More of them change nothing, and would overflow a float.
MOST_DOUBLINGS = 10
#: A device that fails may recover, or fail with some jobs only: it gets so many times
#: the ends that otherwise leave no hope; the second is for one that worked before.
UNFIT, UNFIT_BUT_WORKED = 2, 5
#: Ends in a row from which people are told: it may be the device's fault.
MANY_ENDS = 3


@dataclass(slots=True, kw_only=True)
class RestartBackoff:
    """How often in a row a worker ended without having made an image.

    Attributes:
        ends: The number of these ends.
        in_vain: Ends with nothing in hand: jobs that kill are set aside in the end, but
            such a worker will end again.
        unfit: Consecutive ends because the device failed.
        loading: Consecutive ends while it loaded a model.
        has_worked: Whether it ever made an image.
        until: When the placement may be taken again; by the monotonic clock.
    """

    ends: int = 0
    in_vain: int = 0
    unfit: int = 0
    loading: int = 0
    has_worked: bool = False
    until: float = 0.0
    _held: frozenset[int] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether the pause is over."""
        return time.monotonic() >= self.until

    def is_hopeless(self, limit: int) -> bool:
        """Return whether `limit` ends in vain, or more by a device, leave no hope."""
        times = UNFIT_BUT_WORKED if self.has_worked else UNFIT
        return self.in_vain >= limit or self.unfit >= times * limit

    def forgive(self) -> None:
        """Begin to count anew: an image was made."""
        self.ends = self.in_vain = self.unfit = self.loading = 0
        self.has_worked = True
        self._held = frozenset()

    def begin_short(self) -> float:
        """Begin a short pause after an end that was no failure; return its seconds."""
        self.until = time.monotonic() + BACK_OFF_S
        return BACK_OFF_S

    def begin(
        self,
        held: frozenset[int] | None,
        *,
        is_unfit: bool = False,
        is_loading: bool = False,
    ) -> float:
        """Begin the pause after an end; return its seconds.

        Args:
            held: The jobs that the worker had in hand; None where that says nothing.
                The same one job again is more likely to blame than the device.
            is_unfit: Whether the device failed.
            is_loading: Whether it was loading a model.
        """
        self.unfit = self.unfit + 1 if is_unfit else 0
        self.loading = self.loading + 1 if is_loading else 0
        is_same_job = held is not None and len(held) == 1 and held == self._held
        self.ends = max(1, self.ends + (not is_same_job))
        if held is not None:
            self.in_vain = 0 if held else self.in_vain + 1
            self._held = held
        doublings = min(self.ends - 1, MOST_DOUBLINGS)
        pause_s: float = min(BACK_OFF_S * 2**doublings, MOST_BACK_OFF_S)
        self.until = time.monotonic() + pause_s
        return pause_s
