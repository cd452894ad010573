"""Which runs have a row in which lane, and which lane is called next."""

import itertools
from collections.abc import Hashable

from workers.engine.lanes import Lane
from workers.engine.network_calls import PAIRED
from workers.engine.runs import Run
from workers.vitals.tally import Tally

#: Calls of the network after which a run that waits is served, even in a lane that is
#: not full.
PATIENCE = 256


class RowAllocator:
    """The lanes of a batch.

    A run gets a row in a lane for each signature of its calls. There are two kinds of
    lanes. An open one has the full width, or half of it or more for a part of the jobs,
    such as those without guidance: any run with such a call may take a free row. A
    narrow one is for runs that would otherwise wait for others like them: at the end of
    a sweep, or if their text has a length of its own. It takes no more runs, so that a
    wide one can follow it.

    A run whose first call is that of a ControlNet has its row there in all later calls.
    So both networks have batches of one width.
    """

    def __init__(self, width: int, *, is_fixed: bool, tally: Tally) -> None:
        """Begin without lanes.

        Args:
            width: Most rows of a lane.
            is_fixed: Whether every lane has that width.
            tally: Counts the calls.
        """
        self._width = width
        self._is_fixed = is_fixed
        self._tally = tally
        self._lanes: list[Lane] = []
        #: The lanes of each run, by signature.
        self._taken: dict[Run, dict[Hashable, Lane]] = {}
        #: The lane whose row a run keeps in its other lanes.
        self._leaders: dict[Run, Lane] = {}
        #: Runs that wait for a row, by the signature of their call.
        self._queues: dict[Hashable, list[Run]] = {}
        self._moments = itertools.count(1)

    @property
    def widest(self) -> int:
        """Rows of the widest lane; 0 if there is none."""
        return max((lane.width for lane in self._lanes), default=0)

    @property
    def has_room(self) -> bool:
        """Whether one more run could soon have a row."""
        queues = [len(queue) for queue in self._queues.values()]
        if sum(queues) >= 2 * self._width:
            return False
        opened = [lane for lane in self._lanes if lane.is_open]
        if opened:
            return any(lane.free for lane in opened)
        return max(queues, default=0) < self._width

    def enqueue(self, run: Run) -> None:
        """Have a run wait in its lane, or for a lane."""
        run.asked_at = self._tally.calls
        signature = run.pending.signature
        lane = (
            self._taken.get(run, {}).get(signature)
            or self._led_lane(run, signature)
            or self._free_lane(signature)
        )
        if lane:
            self._place(run, lane)
        else:
            self._queues.setdefault(signature, []).append(run)

    def fill_free_rows(self) -> None:
        """Give free rows to those that wait for one."""
        for lane in self._lanes:
            queue = self._queues.get(lane.signature, [])
            if lane.is_open and lane.free and queue:
                self._fill(queue, lane)

    def next_lane(self) -> Lane:
        """Return the lane to call: one whose members all wait, the fullest first.

        A lane with free rows waits for runs that take them, and an incomplete one for
        its other members, but none waits for more than `PATIENCE` calls of others.
        """
        self._open_lanes()
        waiting = [lane for lane in self._lanes if lane.waiting]
        oldest = min(waiting, key=lambda lane: lane.waits_since, default=None)
        if oldest and self._is_late(oldest.waits_since):
            return oldest
        complete = [lane for lane in waiting if lane.is_complete]
        first = max(complete, key=_preference, default=None)
        if first and first.fullness == 1:
            return first
        if queues := self._queues_without_lane():
            # The one that waits longest; others may still join the rest.
            return self._open_narrow(next(iter(queues)))
        if not waiting:
            return self._open_narrow(next(iter(self._queues)))
        return first or max(waiting, key=lambda lane: lane.waiting)

    def remove(self, run: Run) -> None:
        """Free the rows of a run."""
        self._leaders.pop(run, None)
        for lane in self._taken.pop(run, {}).values():
            lane.leave(run)
        self._lanes = [lane for lane in self._lanes if not lane.is_empty]
        for signature, queue in list(self._queues.items()):
            if run in queue:
                queue.remove(run)
            if not queue:
                del self._queues[signature]

    def _led_lane(self, run: Run, signature: Hashable) -> Lane | None:
        """Return the lane of a signature beside the leader of a run, if it has one."""
        leader = self._leaders.get(run)
        if leader is None:
            return None
        for lane in self._lanes:
            if lane.leader is leader and lane.signature == signature:
                return lane
        made = Lane(signature, leader.width, is_open=False, leader=leader)
        self._lanes.append(made)
        return made

    def _free_lane(self, signature: Hashable) -> Lane | None:
        for lane in self._lanes:
            if lane.is_open and lane.free and lane.signature == signature:
                return lane
        return None

    def _place(self, run: Run, lane: Lane) -> None:
        taken = self._taken.setdefault(run, {})
        if lane.signature not in taken:
            if not taken and run.pending.network.startswith(PAIRED):
                self._leaders[run] = lane
            taken[lane.signature] = lane
            lane.admit(run)
        lane.wait(run, next(self._moments))

    def _open_lanes(self) -> None:
        """Open a lane for each queue that fills one, or that has waited too long."""
        for signature, queue in self._queues_without_lane().items():
            is_part = any(lane.is_open for lane in self._lanes)
            if 2 * len(queue) >= self._width + (not is_part):
                # For a part of the jobs, only as wide as is full.
                width = least_power(len(queue) + 1) // 2 if is_part else self._width
                self._open(signature, min(width, self._width), is_open=True)
        # Those in the rows of a lane may wait in other lanes, even for one another.
        moving = {lane.signature for lane in self._lanes if lane.waiting}
        for signature, queue in list(self._queues.items()):
            if signature not in moving and self._is_late(queue[0].asked_at):
                self._open_narrow(signature)

    def _queues_without_lane(self) -> dict[Hashable, list[Run]]:
        """Return the queues for whose calls no lane is open."""
        opened = {lane.signature for lane in self._lanes if lane.is_open}
        return {k: queue for k, queue in self._queues.items() if k not in opened}

    def _open_narrow(self, signature: Hashable) -> Lane:
        """Open a lane that just holds those that wait for one, and nobody else."""
        width = min(self._width, least_power(len(self._queues[signature])))
        return self._open(signature, width, is_open=width == self._width)

    def _open(self, signature: Hashable, width: int, *, is_open: bool) -> Lane:
        if self._is_fixed:
            width, is_open = self._width, True
        lane = Lane(signature, width, is_open=is_open)
        self._lanes.append(lane)
        self._fill(self._queues[signature], lane)
        return lane

    def _fill(self, queue: list[Run], lane: Lane) -> None:
        """Give the free rows of a lane to those with most steps, in their order.

        So the rows of the last jobs end at about the same time.
        """
        urgent = sorted(
            queue, key=lambda run: (not self._is_late(run.asked_at), -run.steps)
        )
        chosen = set(urgent[: lane.free])
        for run in [run for run in queue if run in chosen]:
            queue.remove(run)
            self._place(run, lane)
        if not queue:
            del self._queues[lane.signature]

    def _is_late(self, since: int) -> bool:
        """Return whether something has waited too long, by the count of calls."""
        return self._tally.calls - since > PATIENCE


def _preference(lane: Lane) -> tuple[float, int]:
    return (lane.fullness, -lane.ready)


def least_power(count: int) -> int:
    """Return the least power of two that is not less than `count`."""
    return 1 << (count - 1).bit_length()
