"""How busy a machine is with other things while something is measured on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from storage.host.worker_ids import host_of, is_dead, my_name
from storage.jobs.claims import leased_owners
from storage.jobs.speeds import Speed
from storage.sql.database import Database

#: Share of the CPU that others may use while it, or while a GPU, makes the images.
ON_CPU, ON_GPU = 0.2, 0.5
#: By how much images of one kind may differ: the slowest from the fastest.
SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class _Moment:
    """CPU seconds since the machine and our processes began."""

    all_s: float
    busy_s: float
    own_s: float


class Load:
    """The CPU time that other programs use, from now on."""

    def __init__(self) -> None:
        """Begin now; our process and its children are not counted."""
        self._began = _now()

    def share(self) -> float:
        """Return their share of the machine's CPU time so far, 0 to 1."""
        began, now = self._began, _now()
        all_s = now.all_s - began.all_s
        others_s = (now.busy_s - began.busy_s) - (now.own_s - began.own_s)
        return min(max(others_s / all_s, 0.0), 1.0) if all_s > 0 else 0.0


def spread_of(found: Sequence[Speed]) -> float:
    """Return by how much images of one kind differed, as the median of the kinds."""
    return median(one.most_s / one.least_s - 1 for one in found) if found else 0.0


def workers_here(database: Database) -> int:
    """Count the workers of this machine that have jobs in hand."""
    here = host_of(my_name())
    owners = leased_owners(database)
    return sum(host_of(one) == here and not is_dead(one) for one in owners)


def why_busy(
    *, workers: int, others: float, spread: float, on_gpu: bool
) -> Iterator[str]:
    """Yield the reasons why figures are no good; nothing if they are good.

    Args:
        workers: Workers of this machine with jobs in hand.
        others: Share of the CPU that other programs used.
        spread: By how much images of one kind differed.
        on_gpu: Whether a GPU made them.
    """
    if workers:
        yield f"workers of this machine are at work ({workers})"
    if others > (ON_GPU if on_gpu else ON_CPU):
        yield f"other programs used {others:.0%} of the CPU"
    if spread > SPREAD:
        yield f"the slowest image of a kind took {spread:.0%} longer than the fastest"


def _now() -> _Moment:
    times = psutil.cpu_times()
    # Linux counts guests' time twice, and idle time also as waiting for a disk.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    all_s = sum(times) - guests
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    ours = psutil.Process()
    own_s = sum(map(_cpu_s, [ours, *ours.children(recursive=True)]))
    return _Moment(all_s, all_s - idle_s, own_s)


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
