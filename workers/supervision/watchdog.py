"""The watchdog: how long each phase of a worker may go without progress."""

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.errors import UsageError
from workers.vitals import phases

#: The variable that changes limits: `painting=3600,loading=7200`; 0 for no limit.
VARIABLE = "NIGHTSWEEP_LIMITS_S"
#: Seconds between two looks after which this process must have been stopped.
STOPPED_S = 10.0
#: Seconds that a worker may be in a phase without progress; other phases have no limit.
LIMITS_S: Mapping[str, float] = {
    phases.STARTING: 600.0,
    phases.DOWNLOADING: 600.0,
    phases.LOADING: 1800.0,
    phases.COMPILING: 3600.0,
    phases.PAINTING: 900.0,
    phases.SCORING: 900.0,
    phases.STORING: 600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A phase that a worker is stuck in.

    Attributes:
        phase: Its name.
        seconds: How long it has been without progress.
    """

    phase: str
    seconds: float


def read_limits(environ: Mapping[str, str] | None = None) -> dict[str, float]:
    """Return the limits in seconds by phase, those of the environment included.

    Raises:
        UsageError: The variable is not of the form `phase=seconds,...`.
    """
    text = (os.environ if environ is None else environ).get(VARIABLE) or ""
    limits = dict(LIMITS_S)
    for part in filter(None, text.split(",")):
        phase, _, seconds = part.partition("=")
        limits[_known(phase.strip(), text)] = _seconds(seconds, text) or math.inf
    return limits


class Watchdog:
    """Finds what is stuck, by a clock that stands still while this process does."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        """Take the limits, as `read_limits` returns them."""
        self._limits = limits
        self._looked = self._awake_since = time.monotonic()

    def look(self) -> None:
        """Note that this process lives; called all the time.

        If it was stopped, as batch systems do, so were the workers.
        """
        now = time.monotonic()
        if now - self._looked > STOPPED_S:
            self._awake_since = now
        self._looked = now

    def find_stuck(self, under_way: Iterable[tuple[str, float]]) -> Stuck | None:
        """Return the phase that has made no progress for too long, if there is one.

        Args:
            under_way: Phases, each with the moment of the last progress.
        """
        for phase, since in under_way:
            seconds = time.monotonic() - max(since, self._awake_since)
            if seconds > self._limits.get(phase, math.inf):
                return Stuck(phase=phase, seconds=seconds)
        return None


def _known(phase: str, text: str) -> str:
    if phase not in LIMITS_S:
        raise _refusal(text)
    return phase


def _seconds(seconds: str, text: str) -> float:
    try:
        value = float(seconds)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise _refusal(text)
    return value


def _refusal(text: str) -> UsageError:
    msg = (
        f"{VARIABLE} must be phases with seconds, painting=3600,loading=7200 (0 for no "
        f"limit), of {', '.join(LIMITS_S)}; got {text!r}."
    )
    return UsageError(msg)
