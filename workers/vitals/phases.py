"""What this process is doing: the phase of each thread that works, and its progress.

This state is one per process, like logging. A thread says what it begins, and when it
makes progress. The reporter passes that on to the supervisor, which ends a worker that
makes no more progress.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from workers.painting import Painter, Work

#: Before the worker can take a message.
STARTING = "starting"
#: Nothing to do, or waiting for another thread.
IDLE = "idle"
#: A model is fetched; growing files are its progress.
DOWNLOADING = "downloading"
#: A model's files are compared with the plan and loaded.
LOADING = "loading"
#: The first call of a network that is compiled.
COMPILING = "compiling"
#: Steps of a batch, or of one image.
PAINTING = "painting"
#: Images are opened and measured by a metric.
SCORING = "scoring"
#: From pixels to a file.
STORING = "storing"
#: An outage, of the disk or the database.
WAITING = "waiting"
#: No process at present: it ended too often in a row.
BACKOFF = "backoff"

#: What comes before any work on a job: no job is to blame for what goes wrong then.
PREPARING = frozenset({STARTING, DOWNLOADING, LOADING})

#: Of the phases of several threads, the first in this order is reported.
TELLING = (
    *(WAITING, DOWNLOADING, LOADING, COMPILING, PAINTING, SCORING, STORING),
    *(STARTING, IDLE),
)


@dataclass(slots=True)
class Activity:
    """What a thread does.

    Attributes:
        phase: One of the above.
        detail: What it works on, for people.
        since: When it last made progress, or began; by the monotonic clock, which all
            processes of a machine share.
        measure: Returns a number that changes as long as there is progress; None if
            the thread reports progress itself.
        part: Steps taken for the images that it paints, as images: 0.5 is half of one.
        rows: Images that it paints at once; 0 where it does not say.
    """

    phase: str
    detail: str = ""
    since: float = field(default_factory=time.monotonic)
    measure: Callable[[], int] | None = None
    measured: int = -1
    part: float = 0.0
    rows: int = 0


_lock = threading.Lock()
#: By thread, its nested activities, the outermost first.
_under_way: dict[int, list[Activity]] = {}
#: Functions called when a thread begins to prepare, and when it is prepared.
_when_preparing: list[Callable[[], object]] = []


@contextmanager
def during(
    phase: str, detail: str = "", *, measure: Callable[[], int] | None = None
) -> Iterator[None]:
    """Say what this thread does in the block; then its previous activity resumes."""
    thread = threading.get_ident()
    with _lock:
        nested = _under_way.setdefault(thread, [])
        nested.append(Activity(phase, detail, measure=measure))
    _tell(phase)
    try:
        yield
    finally:
        with _lock:
            nested.pop()
            if not nested:
                del _under_way[thread]
        progress()
        _tell(phase)


def when_preparing(tell: Callable[[], object]) -> None:
    """Have `tell` called when a thread begins to prepare, and when it is prepared."""
    _when_preparing.append(tell)


def _tell(phase: str) -> None:
    if phase in PREPARING:
        for tell in _when_preparing:
            tell()


def progress() -> None:
    """Say that this thread made progress; it costs next to nothing."""
    nested = _under_way.get(threading.get_ident())
    if nested:
        nested[-1].since = time.monotonic()


def get_to(part: float, *, rows: int) -> None:
    """Say that this thread made progress, and how far it is with its images.

    Args:
        part: Steps taken for all of them, as images: 0.5 is half of one.
        rows: How many they are.
    """
    nested = _under_way.get(threading.get_ident())
    if nested:
        nested[-1].part = part
        nested[-1].rows = rows
        nested[-1].since = time.monotonic()


def describe(detail: str) -> None:
    """Say what this thread's activity is about."""
    nested = _under_way.get(threading.get_ident())
    if nested:
        nested[-1].detail = detail


def under_way() -> list[Activity]:
    """Return what each thread does now; an empty list if all are idle."""
    with _lock:
        found = [nested[-1] for nested in _under_way.values()]
    for one in found:
        _measure(one)
    return [replace(one) for one in found]


def most_telling(activities: list[Activity]) -> Activity:
    """Return the activity that best says what the process does."""
    return min(
        activities, key=lambda one: TELLING.index(one.phase), default=Activity(IDLE)
    )


def _measure(activity: Activity) -> None:
    if activity.measure is None:
        return
    measured = activity.measure()
    if measured != activity.measured:
        activity.measured = measured
        activity.since = time.monotonic()


class WatchedPainter:
    """A painter under watch: each step calls `Work.check`, which is progress."""

    def __init__(self, painter: Painter) -> None:
        """Take the painter."""
        self._painter = painter

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the painter."""
        return getattr(self._painter, name)

    def paint(self, work: Work) -> None:
        """See `workers.painting.Painter`."""
        with during(PAINTING):
            self._painter.paint(work)
