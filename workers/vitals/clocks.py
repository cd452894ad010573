"""Moments by both clocks of a machine, to judge how much of a lease has passed.

The monotonic clock stands still while the machine sleeps. Leases end by the wall clock,
which somebody may set.
"""

import time

#: Seconds of the monotonic clock, and seconds since 1970.
Moment = tuple[float, float]


def now() -> Moment:
    """Take the present moment."""
    return time.monotonic(), time.time()


def seconds_between(earlier: Moment, later: Moment) -> float:
    """Return the time between two moments, by the clock that counted more."""
    return max(map(float.__sub__, later, earlier))
