"""What this process waits for: one log line when it begins, and one when it ends."""

import logging
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outage:
    began: float = field(default_factory=time.monotonic)
    who: set[Hashable] = field(default_factory=set)


#: Who waits for Redis: the process as a whole, between two turns.
REDIS = "Redis"

_lock = threading.Lock()
#: By kind: the disk, the database, Redis.
_outages: dict[type[Exception], _Outage] = {}


def begin(who: Hashable, error: Exception) -> None:
    """Note that `who` waits; logged if nobody else waits for the same kind."""
    with _lock:
        is_first = type(error) not in _outages
        _outages.setdefault(type(error), _Outage()).who.add(who)
    if is_first:
        log.warning("Waiting: %s", error, extra={"action": "outage_began"})


def end(who: Hashable, *, is_over: bool = True) -> None:
    """Note that `who` waits no more; logged if nobody else waits for the same.

    Args:
        who: As in `begin`; one that waits for nothing may call this too.
        is_over: False if it gave up waiting, which is not logged.
    """
    with _lock:
        left = [kind for kind, one in _outages.items() if one.who == {who}]
        ended = [_outages.pop(kind) for kind in left]
        for one in _outages.values():
            one.who.discard(who)
    for one in ended if is_over else ():
        waited_s = time.monotonic() - one.began
        log.warning(
            "Going on after %.0f s.", waited_s, extra={"action": "outage_ended"}
        )


@contextmanager
def waiting(error: Exception) -> Iterator[None]:
    """Count `error` as an outage during the block; it is over if the block succeeds."""
    who = object()
    begin(who, error)
    is_over = False
    try:
        yield
        is_over = True
    finally:
        end(who, is_over=is_over)
