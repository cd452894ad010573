"""A rate limit for log lines that would come with every image."""

import logging
import time

#: Seconds from a line that is let through to the next one.
EVERY_S = 60.0


class RateLimit(logging.Filter):
    """Lets a record through if the last one that came through is a minute old.

    It takes all records of a logger to say the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is logged."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + EVERY_S
        return True
