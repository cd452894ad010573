"""Numbers of steps that a scheduler cannot run: refused, or left out of a word.

A scheduler that the sweep names must run all its steps. A word such as `every` stands
for what can be made, so the steps that one of its schedulers cannot run are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from producer.expansion.cells import Cell, choose_points, make_cell
from producer.expansion.exclusions import Exclusion
from producer.expansion.grid import Grid
from producer.expansion.resolution import PlannedScheduler
from producer.spec.problems import Place, Problems
from producer.spec.remarks import Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfit:
    """A scheduler that came from a word, with steps that it cannot run.

    Attributes:
        cell: A cell with both.
        exclusion: Matches this cell, and cells that differ from it in other axes only.
        message: Why it cannot run them.
    """

    cell: Cell
    exclusion: Exclusion
    message: str

    @property
    def scheduler(self) -> PlannedScheduler:
        found: PlannedScheduler = self.cell.parameters["scheduler"]
        return found


def check_steps(
    grid: Grid, places: Mapping[str, Place], problems: Problems
) -> list[Remark]:
    """Note steps that a named scheduler cannot run; leave out those of words.

    If that left nothing of a word, nothing is left out: its problems are noted.

    Args:
        grid: The cells of one model.
        places: Where each parameter of `base` was written.
        problems: Where the steps are noted.

    Returns:
        What was left out, and why.
    """

    def note(cell: Cell, message: str) -> None:
        own = places.get("steps", grid.place)
        problems.add(cell.place_of("steps") or own, message)

    made: set[str] = set()
    unfit: list[_Unfit] = []
    for block, points in choose_points(grid, "scheduler", "steps", "dtype"):
        cell = make_cell(block, tuple(points.values()))
        scheduler: PlannedScheduler = cell.parameters["scheduler"]
        if scheduler.problems:
            continue
        messages = _find_problems(grid, cell)
        if not messages:
            made.add(scheduler.word)
        elif scheduler.word and not block.is_extra:
            tokens = {axis: frozenset({one.token}) for axis, one in points.items()}
            unfit.append(_Unfit(cell=cell, exclusion=tokens, message=messages[0]))
        else:
            note(cell, messages[0])
    left = []
    for each in unfit:
        if each.scheduler.word in made:
            left.append(each)
        else:
            note(each.cell, each.message)
    if left:
        grid.leave_out(each.exclusion for each in left)
    return list(_remarks(grid, left))


def _find_problems(grid: Grid, cell: Cell) -> list[str]:
    scheduler: PlannedScheduler = cell.parameters["scheduler"]
    steps, dtype = cell.parameters["steps"], cell.parameters["dtype"]
    return grid.card.check_steps(scheduler.asked, steps, dtype=dtype)


def _remarks(grid: Grid, left: list[_Unfit]) -> Iterator[Remark]:
    name = grid.card.model.name
    for each in left:
        word, steps = each.scheduler.word, each.cell.parameters["steps"]
        case = f"{each.scheduler.name} at {steps} steps"
        yield Remark(
            sentence=f"`{word}` leaves out {case} on {name}: {each.message}",
            kind=f"`{word}` leaves out what {name} cannot run; name the scheduler to"
            " see why",
            case=case,
        )
