"""A lane: the rows of one merged call, and the jobs that have them."""

from collections.abc import Hashable, Sequence

from workers.engine.network_calls import Call, Merger
from workers.engine.runs import Run


class Lane:
    """Runs whose calls have one signature, each in a row of its own.

    The width never changes, and a run keeps its row until it ends. So the low bits of
    an image depend on the width and the row, and not on its neighbours.

    Attributes:
        signature: Of all its calls.
        width: Calls that are merged into one.
        is_open: Whether a free row may be taken by another run.
        leader: The lane whose rows its runs have here, too; None if it has its own.
        ready: The order in which lanes became ready: the number of the last wait.
        merger: Merges the calls.
    """

    def __init__(
        self,
        signature: Hashable,
        width: int,
        *,
        is_open: bool,
        leader: "Lane | None" = None,
    ) -> None:
        """Begin with free rows only."""
        self.signature = signature
        self.width = width
        self.is_open = is_open
        self.leader = leader
        self.ready = 0
        self.merger = Merger()
        self._rows: list[Run | None] = [None] * width
        self._waiting: dict[int, Run] = {}

    @property
    def free(self) -> int:
        """Number of rows without a run."""
        return self._rows.count(None)

    @property
    def is_empty(self) -> bool:
        """Whether no run has a row."""
        return self.free == self.width

    @property
    def is_complete(self) -> bool:
        """Whether all of its members wait, one or more."""
        return 0 < self.width - self.free == self.waiting

    @property
    def fullness(self) -> float:
        """The share of the rows in use among those that can be, 0 to 1."""
        return self.waiting / (self.waiting + self.free * self.is_open)

    @property
    def waits_since(self) -> int:
        """The count of calls when the first of those that wait began to; needs one."""
        return min(run.asked_at for run in self._waiting.values())

    @property
    def waiting(self) -> int:
        """Number of members that wait."""
        return len(self._waiting)

    def admit(self, run: Run) -> None:
        """Give a free row to a run, or the row that it has in the leader."""
        row = (self.leader or self)._rows.index(run if self.leader else None)
        self._rows[row] = run
        run.take_row(self.width, row)

    def wait(self, run: Run, ready: int) -> None:
        """Note that a member waits for an answer."""
        self._waiting[self._rows.index(run)] = run
        self.ready = ready

    def leave(self, run: Run) -> None:
        """Free the row of a member that has ended."""
        row = self._rows.index(run)
        self._rows[row] = None
        self._waiting.pop(row, None)

    def calls(self) -> tuple[dict[int, Run], Sequence[Call]]:
        """Return the members that wait, by row, and a call for each row.

        They wait no more. Rows in which nobody waits repeat the call of another row.
        """
        waiting, self._waiting = self._waiting, {}
        spare = next(iter(waiting.values())).pending
        calls = [
            waiting[row].pending if row in waiting else spare
            for row in range(self.width)
        ]
        return waiting, calls
