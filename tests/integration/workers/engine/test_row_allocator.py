"""Which run has which row, and which lane is called next."""

from collections.abc import Sequence

from tests.batches import make_job
from workers.engine.clock import Clock
from workers.engine.lanes import Lane
from workers.engine.network_calls import Call, Rows
from workers.engine.row_allocator import PATIENCE, RowAllocator, least_power
from workers.engine.runs import Run
from workers.vitals.tally import Tally

CLOCK = Clock("cpu")


class Room:
    """An allocator of width 4, and runs that ask for calls by a letter."""

    def __init__(self, *, is_fixed: bool = False) -> None:
        self.tally = Tally()
        self.allocator = RowAllocator(4, is_fixed=is_fixed, tally=self.tally)

    def ask(self, letters: str, *, steps: int = 1) -> list[Run]:
        """Have a new run wait for a call of each letter."""
        runs = []
        for _ in letters:
            run = Run(job=make_job(), clock=CLOCK, is_alone=False, steps=steps)
            runs.append(run)
        self.again(runs, letters)
        return runs

    def again(self, runs: Sequence[Run], letters: str) -> None:
        """Have runs wait for their next call."""
        for run, letter in zip(runs, letters, strict=True):
            run.call = Call(
                network="unet",
                args=(),
                kwargs={},
                rows=Rows(count=1),
                leaves=(),
                signature=letter,
            )
            self.allocator.enqueue(run)

    def call(self) -> tuple[object, int, list[Run]]:
        """Call the next lane; return its signature, width and runs by row."""
        self.allocator.fill_free_rows()
        lane: Lane = self.allocator.next_lane()
        waiting, _ = lane.calls()
        self.tally.calls += 1
        return lane.signature, lane.width, [waiting[row] for row in sorted(waiting)]

    def leave(self, *runs: Run) -> None:
        for run in runs:
            self.allocator.remove(run)


def test_a_first_lane_is_as_narrow_as_its_runs_allow() -> None:
    for count, width in ((1, 1), (2, 2), (3, 4), (4, 4)):
        room = Room()
        runs = room.ask("a" * count)
        assert room.call() == ("a", width, runs)


def test_runs_sit_in_the_order_in_which_they_came() -> None:
    room = Room()
    runs = [*room.ask("a", steps=1), *room.ask("a", steps=9), *room.ask("a", steps=5)]
    room.call()
    assert [run.row for run in runs] == [0, 1, 2]


def test_a_narrow_lane_takes_no_more_runs_and_a_wide_one_follows() -> None:
    room = Room()
    first = room.ask("aa")
    assert room.call() == ("a", 2, first)
    room.again(first[:1], "a")
    room.leave(first[1])
    later = room.ask("aa")
    assert room.call() == ("a", 2, first[:1])
    later += room.ask("a")
    assert room.call() == ("a", 4, later)
    assert room.allocator.has_room


def test_a_free_row_of_a_wide_lane_is_taken_and_the_others_stay() -> None:
    room = Room()
    runs = room.ask("aaaa")
    room.call()
    room.again([runs[0], *runs[2:]], "aaa")
    room.leave(runs[1])
    assert room.allocator.has_room
    (late,) = room.ask("a")
    assert room.call() == ("a", 4, [runs[0], late, runs[2], runs[3]])
    assert (late.row, late.width) == (1, 4)


def test_a_part_of_the_jobs_has_a_lane_as_wide_as_it_is_full() -> None:
    room = Room()
    many = room.ask("aaaa")
    assert room.call() == ("a", 4, many)
    few = room.ask("bbb")
    assert room.call() == ("b", 2, few[:2])
    room.leave(few[0])
    room.again(few[1:2], "b")
    assert room.call() == ("b", 2, [few[2], few[1]])


def test_a_lane_with_free_rows_waits_for_runs_that_take_them() -> None:
    room = Room()
    many = room.ask("aaaa")
    assert room.call() == ("a", 4, many)
    few = room.ask("bb")
    assert room.call() == ("b", 2, few)
    room.leave(few[1])
    room.again([*many, few[0]], "aaaab")
    for _ in range(PATIENCE + 1):
        assert room.call() == ("a", 4, many)
        room.again(many, "aaaa")
    assert room.call() == ("b", 2, few[:1]), "but not for ever"


def test_there_is_room_while_a_wide_lane_has_a_free_row() -> None:
    room = Room()
    runs = room.ask("aaaa")
    room.call()
    room.again(runs, "aaaa")
    assert not room.allocator.has_room
    room.leave(runs[0])
    assert room.allocator.has_room
    # Runs with other calls do not take it, and are not begun without end.
    for count in range(1, 9):
        assert room.allocator.has_room, count
        room.ask("bcdefghi"[count - 1])
    assert not room.allocator.has_room


def test_one_that_waits_for_others_like_it_is_painted_in_the_end() -> None:
    room = Room()
    many, (lonely,) = room.ask("aaaa"), room.ask("b")
    for _ in range(PATIENCE + 1):
        assert room.call() == ("a", 4, many)
        room.again(many, "aaaa")
    assert room.call() == ("b", 1, [lonely])


def test_runs_with_most_steps_sit_first_where_not_all_can() -> None:
    room = Room()
    runs = room.ask("aaaa")
    room.call()
    room.again(runs, "aaaa")
    short, long = room.ask("a", steps=5), room.ask("a", steps=50)
    room.leave(runs[3])
    assert room.call()[2] == [*runs[:3], *long]
    assert (long[0].row, short[0].width) == (3, 0)


def test_calls_of_a_step_share_what_they_can() -> None:
    # Each has a text of its own length, then all have the same empty one.
    room = Room()
    runs = room.ask("abcd")
    for run, letter in zip(runs, "abcd", strict=True):
        assert room.call() == (letter, 1, [run])
        room.again([run], "x")
    assert room.call() == ("x", 4, runs)
    room.again(runs, "abcd")
    assert [room.call()[0] for _ in "abcd"] == ["a", "b", "c", "d"]


def test_lanes_that_wait_for_each_other_do_not_stop() -> None:
    room = Room()
    first, second = room.ask("aaaa"), room.ask("bbbb")
    assert [room.call()[0] for _ in range(2)] == ["a", "b"]
    # All rows of both are taken, and nobody waits in his own.
    room.again(first, "bbbb")
    room.again(second, "aaaa")
    assert [room.call() for _ in range(2)] == [("b", 4, first), ("a", 4, second)]


def test_lanes_that_wait_for_each_other_do_not_starve_beside_a_full_one() -> None:
    for is_fixed in (False, True):
        room = Room(is_fixed=is_fixed)
        others = room.ask("cccc")
        some = room.ask("aabb")
        served = set()
        for _ in range(20 * PATIENCE):
            signature, _, runs = room.call()
            if signature == "c":
                room.again(others, "cccc")
            else:
                served |= {(run, signature) for run in runs}
                room.again(runs, ("b" if signature == "a" else "a") * len(runs))
        assert served == {(run, letter) for run in some for letter in "ab"}


def test_every_lane_of_a_compiled_network_has_the_full_width() -> None:
    room = Room(is_fixed=True)
    runs = room.ask("a")
    assert room.call() == ("a", 4, runs)
    assert room.allocator.widest == 4


def test_one_that_leaves_waits_no_more() -> None:
    room = Room()
    runs = room.ask("abb")
    room.leave(runs[0])
    assert room.call() == ("b", 2, runs[1:])
    room.leave(*runs[1:])
    assert room.allocator.widest == 0


def test_the_least_power_of_two_is_found() -> None:
    assert [least_power(count) for count in (1, 2, 3, 4, 5, 16, 17)] == (
        [1, 2, 4, 4, 8, 16, 32]
    )
