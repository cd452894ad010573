"""Moments by both clocks of a machine, for what a lease depends on.

One stands still while the machine sleeps; leases end by the other, which somebody may
set.
"""

import time

#: Seconds of the monotonic clock, and since 1970.
Moment = tuple[float, float]


def now() -> Moment:
    """Take the present moment."""
    return time.monotonic(), time.time()


def seconds_between(earlier: Moment, later: Moment) -> float:
    """Return the time between two moments, by the clock that counted more."""
    return max(map(float.__sub__, later, earlier))
