"""What a scheduler cannot run: refused, or left out of a word.

A scheduler that the sweep names must run all its steps, on every back end. A word such
as `every` stands for what can be made, so the steps that one of its schedulers cannot
run are left out, and so are the schedulers that a back end does not have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from producer.expansion.backend_checks import refuse_for_flax
from producer.expansion.cells import Cell, choose_points, make_cell
from producer.expansion.exclusions import Exclusion
from producer.expansion.grid import Grid
from producer.expansion.scheduler_planning import PlannedScheduler
from producer.spec.problems import Place, Problems
from producer.spec.remarks import Remark
from storage.job import FLAX


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfit:
    """A scheduler that came from a word, with what it cannot run.

    Attributes:
        cell: A cell with both.
        exclusion: Matches this cell, and cells that differ from it in other axes only.
        parameter: What is wrong: `steps`, or the `scheduler` for a back end.
        message: Why it cannot.
    """

    cell: Cell
    exclusion: Exclusion
    parameter: str
    message: str

    @property
    def scheduler(self) -> PlannedScheduler:
        found: PlannedScheduler = self.cell.parameters["scheduler"]
        return found


def check_steps(
    grid: Grid, places: Mapping[str, Place], problems: Problems
) -> list[Remark]:
    """Note what a named scheduler cannot run; leave out what those of words cannot.

    If that left nothing of a word, nothing is left out: its problems are noted.

    Args:
        grid: The cells of one model.
        places: Where each parameter of `base` was written.
        problems: Where it is noted.

    Returns:
        What was left out, and why.
    """

    def note(cell: Cell, parameter: str, message: str) -> None:
        own = places.get(parameter, grid.place)
        problems.add(cell.place_of(parameter) or own, message)

    made: set[str] = set()
    unfit: list[_Unfit] = []
    for block, points in choose_points(
        grid, "backend", "scheduler", "shift", "schedule", "steps", "dtype"
    ):
        cell = make_cell(block, tuple(points.values()))
        scheduler: PlannedScheduler = cell.parameters["scheduler"]
        if scheduler.problems:
            continue
        found = _find_problem(grid, cell)
        if found is None:
            made.add(scheduler.word)
        elif scheduler.word and not block.is_extra:
            tokens = {axis: frozenset({one.token}) for axis, one in points.items()}
            parameter, message = found
            unfit.append(
                _Unfit(
                    cell=cell, exclusion=tokens, parameter=parameter, message=message
                )
            )
        else:
            note(cell, *found)
    left = []
    for each in unfit:
        if each.scheduler.word in made:
            left.append(each)
        else:
            note(each.cell, each.parameter, each.message)
    if left:
        grid.leave_out(each.exclusion for each in left)
    return list(_remarks(grid, left))


def _find_problem(grid: Grid, cell: Cell) -> tuple[str, str] | None:
    """Return what is wrong with a cell: the parameter, and a sentence."""
    scheduler: PlannedScheduler = cell.parameters["scheduler"]
    if cell.parameters["backend"] == FLAX and (refused := refuse_for_flax(scheduler)):
        return "scheduler", refused
    steps, dtype = cell.parameters["steps"], cell.parameters["dtype"]
    schedule = cell.parameters["schedule"]
    if schedule:
        found = grid.card.check_schedule(schedule, scheduler.asked, steps=steps)
        return ("schedule", found[0]) if found else None
    messages = grid.card.check_steps(scheduler.asked, steps, dtype=dtype)
    return ("steps", messages[0]) if messages else None


def _remarks(grid: Grid, left: list[_Unfit]) -> Iterator[Remark]:
    name = grid.card.model.name
    for each in left:
        word, steps = each.scheduler.word, each.cell.parameters["steps"]
        with_what = f"at {steps} steps" if each.parameter == "steps" else "with flax"
        case = f"{each.scheduler.name} {with_what}"
        yield Remark(
            sentence=f"`{word}` leaves out {case} on {name}: {each.message}",
            kind=f"`{word}` leaves out what {name} cannot run; name the scheduler to"
            " see why",
            case=case,
        )
