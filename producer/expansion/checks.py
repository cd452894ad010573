"""What only the model can tell: sizes, schedulers and options that it cannot do."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from producer.expansion.backend_checks import find_backend_problems
from producer.expansion.cache_checks import find_cache_problems
from producer.expansion.cells import Cell, combinations
from producer.expansion.control_checks import find_control_problems
from producer.expansion.grid import Grid
from producer.expansion.image_checks import find_image_problems
from producer.expansion.quantisation_checks import find_quantisation_problems
from producer.expansion.scheduler_planning import PlannedScheduler
from producer.models.cards import ModelCard
from producer.spec.parameters import WEIGHTS, shown_as
from producer.spec.problems import Place, Problems, listed, shown
from producer.spec.remarks import Remark
from storage.catalogue.pipeline_families import Guidance

#: Defaults up to this are those of distilled models.
_FEW_STEPS = 12
_NO_SCHEDULE = (
    "schedule must be left out beside an image, whose strength decides how much of it"
    " would be used, got both; leave out one of the two"
)


def check_grid(grid: Grid, places: Mapping[str, Place], problems: Problems) -> None:
    """Note everything in the cells that are not excluded that a model cannot do.

    Args:
        grid: The cells of one model.
        places: Where each parameter of `base` was written.
        problems: Where problems are noted.
    """
    for cell, message in find_backend_problems(grid):
        place = cell.place_of("backend") or places.get("backend", grid.place)
        problems.add(place, message)
    found = itertools.chain(
        _find_problems(grid),
        find_image_problems(grid),
        find_quantisation_problems(grid),
        find_cache_problems(grid),
        find_control_problems(grid),
    )
    for cell, parameter, message in found:
        place = cell.place_of(parameter) or places.get(parameter, grid.place)
        problems.add(place, message)


def find_cut_prompts(grid: Grid, places: Mapping[str, Place]) -> Iterator[Remark]:
    """Yield a warning for each prompt whose end the model never reads.

    Raises:
        ModelError: The tokenizer's files cannot be read.
    """
    told: set[str] = set()
    for parameter in ("prompt", "negative_prompt"):
        for cell in combinations(grid, parameter):
            value = cell.parameters[parameter]
            text = value if isinstance(value, str) else value.text
            if text in told:
                continue
            told.add(text)
            warning = grid.card.warn_of_cut(text)
            if warning:
                place = cell.place_of(parameter) or places[parameter]
                yield Remark(
                    sentence=f'{place}: {parameter} "{shown(text)}": {warning}',
                    kind=f"{grid.card.reading}, and the rest of a longer one is cut",
                    case=f'"{shown(text)}" ({place})',
                )


def warn_of_distilled(grid: Grid) -> Iterator[str]:
    """Yield warnings if a model that was distilled gets what others want."""
    yield from _warn_of_guidance(grid)
    yield from _warn_of_steps(grid)


def _warn_of_guidance(grid: Grid) -> Iterator[str]:
    """Yield a warning if the sweep guides a model that was distilled to few steps."""
    card = grid.card
    effects = card.effects or Guidance()
    if card.distilled is None or effects.is_embedded or effects.off is None:
        return
    values = {cell.parameters["guidance"] for cell in combinations(grid, "guidance")}
    above = sorted(value for value in values if value > effects.off)
    if above:
        yield (
            f"{card.model.name}: a model that is distilled to few steps "
            f"({card.distilled}) wants no guidance, got {listed(map(shown_as, above))};"
            f" set `guidance: {effects.off:g}`"
        )


def _warn_of_steps(grid: Grid) -> Iterator[str]:
    """Yield a warning if a model that was distilled to few steps gets many by default.

    Its name may be all that says so, and a name changes no default: a copy of the model
    may have another one.
    """
    card, many = grid.card, grid.card.steps_default
    if card.distilled is None or many <= _FEW_STEPS:
        return
    if any(cell.parameters["steps"] == many for cell in combinations(grid, "steps")):
        yield (
            f"{card.model.name}: a model that is distilled to few steps"
            f" ({card.distilled}) wants few, got {many}, the default of its pipeline;"
            " set `steps` to what the model's page says"
        )


def _find_problems(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    """Yield a cell, the parameter that is wrong in it, and what is wrong."""
    card = grid.card
    checks: dict[str, Callable[[Any], list[str]]] = {
        "width": lambda width: card.check_size(width, card.height),
        "height": lambda height: card.check_size(card.width, height),
        "clip_skip": card.check_clip_skip,
    }
    for name in WEIGHTS:
        checks[name] = lambda weights: list(weights.problems)
    for name in grid.calls:
        checks[name] = partial(_check_call, card, name)
    for parameter, check in checks.items():
        for cell in combinations(grid, parameter):
            for message in check(cell.parameters[parameter]):
                yield cell, parameter, message
    for cell in combinations(grid, "schedule", "image"):
        if cell.parameters["schedule"] and cell.parameters["image"]:
            yield cell, "schedule", _NO_SCHEDULE
    for cell in combinations(grid, "scheduler", "eta", "shift"):
        for message in _find_scheduler_problems(grid, cell):
            yield cell, "scheduler", message


def _check_call(card: ModelCard, name: str, value: Any) -> list[str]:
    """Say in one sentence what is wrong with an input that only some pipelines have."""
    if value is None:
        return []
    known, got = card.calls.get(name), f"got {shown(shown_as(value))}"
    if known is None:
        others = f"; its own are {listed(card.calls)}" if card.calls else ""
        return [
            f"{name} must be left out for a {card.pipeline_class}, which has no such"
            f" input, {got}{others}"
        ]
    if known.maximum is None or value <= known.maximum:
        return []
    return [
        f"{name} must be at most {known.maximum} for a {card.pipeline_class}, {got};"
        " lower it"
    ]


def _find_scheduler_problems(grid: Grid, cell: Cell) -> list[str]:
    scheduler: PlannedScheduler = cell.parameters["scheduler"]
    eta = cell.parameters["eta"]
    if scheduler.problems:
        return list(scheduler.problems)
    wanted = eta or scheduler.asked.extras.get("eta", 0)
    if wanted and not grid.card.takes("eta"):
        return [grid.card.no_input("eta", wanted)]
    if eta is None:
        return []
    own = scheduler.asked.extras.get("eta", eta)
    if own != eta:
        return [
            f"eta must be set once, got {own:g} from the scheduler {scheduler.written} "
            f"and {eta:g} from `eta`; use another scheduler or leave out `eta`"
        ]
    asked = dataclasses.replace(scheduler.asked, extras={"eta": eta})
    return grid.card.check_scheduler(asked)
