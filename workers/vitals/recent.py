"""How this process did of late: images a second, and unforeseen errors in a row."""

import math
import threading
import time
from collections import deque

from storage.errors import DeviceError

#: Seconds that count as "of late".
RECENT_WINDOW_S = 180.0
#: Unforeseen errors in a row after which a worker no longer trusts its device.
MOST_SURPRISES = 3


class Recent:
    """One per process; threads may share it.

    Attributes:
        images: Images made since the process began.
        made: The same, as of the end of the last turn.
        failed: Jobs that had failed by then.
        worked_s: Seconds that all turns took.
    """

    def __init__(self) -> None:
        """Begin with nothing made."""
        self.images = self.made = self.failed = 0
        self.worked_s = 0.0
        self._failed = 0
        self._lock = threading.Lock()
        self._made: deque[float] = deque()
        self._since = time.monotonic()
        self._surprises = 0

    def begin(self) -> None:
        """Note that work begins, so that idle hours before it do not count."""
        with self._lock:
            self._forget()
            if not self._made:
                self._since = time.monotonic()

    def made_one(self) -> None:
        """Count an image; what went wrong before was not the device's fault."""
        with self._lock:
            self.images += 1
            self._made.append(time.monotonic())
            self._surprises = 0

    def failed_one(self) -> None:
        """Count a job that failed."""
        with self._lock:
            self._failed += 1

    def end_turn(self, seconds: float) -> None:
        """Note that a turn ended after so many seconds; all that it made is stored."""
        with self._lock:
            self.made, self.failed = self.images, self._failed
            self.worked_s += seconds

    def rate(self) -> float | None:
        """Return the images made per second; None if none was made of late."""
        with self._lock:
            self._forget()
            if not self._made:
                return None
            now = time.monotonic()
            span_s = max(now - max(self._since, now - RECENT_WINDOW_S), 1e-3)
            return len(self._made) / span_s

    def made_within(self, seconds: float) -> int | None:
        """Return how many images are made in that time, at least 1; None if unknown."""
        rate = self.rate()
        return None if rate is None else max(1, math.ceil(rate * seconds))

    def surprised_by(self, error: str) -> None:
        """Count an unforeseen error: one may be a job's fault, a series the machine's.

        Raises:
            DeviceError: It is the last of `MOST_SURPRISES` in a row.
        """
        with self._lock:
            self._surprises += 1
            count = self._surprises
        if count >= MOST_SURPRISES:
            msg = f"{count} jobs in a row failed unexpectedly, the last: {error}"
            raise DeviceError(msg)

    def _forget(self) -> None:
        oldest = time.monotonic() - RECENT_WINDOW_S
        while self._made and self._made[0] < oldest:
            self._made.popleft()
