"""What the gallery's benchmark measures: by the clock, and in time of the CPU."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

RUNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What something took.

    Attributes:
        wall_ms: By the clock.
        cpu_ms: Of all processes that took part.
    """

    wall_ms: float
    cpu_ms: float


@dataclass
class Figures:
    """The rows of the table, each shown as soon as it is measured."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, name: str, measured: str, *, cpu: str = "", goal: str = "") -> None:
        """Add a figure in words."""
        self.rows.append((name, measured, cpu, goal))
        print(*self.rows[-1], sep="  ", file=sys.stderr)

    def add_times(self, name: str, spent: Sequence[Spent], *, goal: str = "") -> None:
        """Add the medians of some runs."""
        wall = statistics.median(each.wall_ms for each in spent)
        cpu = statistics.median(each.cpu_ms for each in spent)
        self.add(name, f"{wall:,.0f} ms", cpu=f"{cpu:,.0f} ms", goal=goal)


@contextmanager
def spending(
    processes: Callable[[], Iterable[psutil.Process]],
) -> Iterator[Callable[[], Spent]]:
    """Yield what says how much was spent since then."""
    began, cpu = time.perf_counter(), cpu_ms(processes())
    yield lambda: Spent(
        wall_ms=1000 * (time.perf_counter() - began),
        cpu_ms=cpu_ms(processes()) - cpu,
    )


def cpu_ms(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU time that processes have used, in milliseconds."""
    total = 0.0
    for process in processes:
        used = process.cpu_times()
        total += used.user + used.system
    return 1000 * total
