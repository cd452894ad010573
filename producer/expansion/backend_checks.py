"""What the back end of a job cannot do."""

from collections.abc import Callable, Iterator
from typing import Any

from producer.expansion.cells import Cell, combinations
from producer.expansion.grid import Grid
from producer.expansion.scheduler_planning import PlannedScheduler
from producer.models.cards import ModelCard
from producer.spec.parameters import shown_as
from producer.spec.problems import shown
from storage.catalogue.backends import (
    FLAX_DTYPES,
    FLAX_PIPELINE,
    LACKING,
    find_problems,
    refuse_input,
)
from storage.job import FLAX
from storage.models.checkpoint_names import is_checkpoint

_WAY_OUT = "use `backend: torch`"


def find_backend_problems(grid: Grid) -> Iterator[tuple[Cell, str]]:
    """Yield each cell whose back end cannot do what it asks for, and why not."""
    yield from _find_unreadable_weights(grid)
    if not any(_is_flax(cell) for cell in combinations(grid, "backend")):
        return
    checks: dict[str, Callable[[Any], str | None]] = {
        "model": lambda _model: _refuse_model(grid.card),
        "generator": _refuse_generator,
        "dtype": _refuse_dtype,
        **{name: _requiring(name) for name in (*LACKING, *grid.calls)},
    }
    for parameter, check in checks.items():
        for cell in combinations(grid, "backend", parameter):
            message = _is_flax(cell) and check(cell.parameters.get(parameter))
            if message:
                yield cell, message


def refuse_for_flax(scheduler: PlannedScheduler) -> str | None:
    """Say in one sentence why Flax cannot run a scheduler; None if it can."""
    asked = scheduler.asked
    if scheduler.own_eta:
        return (
            "a scheduler of `backend: flax` must have an eta of 0, which Flax cannot"
            f" set, got {scheduler.own_eta:g} from {scheduler.written}; name another,"
            f" or {_WAY_OUT}"
        )
    found = find_problems(asked.class_name, scheduler.options, config=scheduler.config)
    return found[0] if found else None


def _find_unreadable_weights(grid: Grid) -> Iterator[tuple[Cell, str]]:
    if not grid.card.saved_by_flax:
        return
    for cell in combinations(grid, "backend"):
        if not _is_flax(cell):
            yield (
                cell,
                "backend must be flax for a model that Flax has saved, got"
                f" {cell.parameters['backend']}; write `backend: flax`, or name the"
                " model's safetensors",
            )


def _is_flax(cell: Cell) -> bool:
    return bool(cell.parameters["backend"] == FLAX)


def _refuse_model(card: ModelCard) -> str | None:
    if is_checkpoint(card.model.name):
        return (
            "a model of `backend: flax` must be a folder in diffusers format or a Hub"
            f" id, got the single file {card.model.name}; {_WAY_OUT}"
        )
    if card.pipeline_class == FLAX_PIPELINE:
        return None
    return (
        f"a model of `backend: flax` must be a {FLAX_PIPELINE}, got a"
        f" {card.pipeline_class}; {_WAY_OUT}"
    )


def _refuse_generator(name: str) -> str | None:
    if name == "numpy":
        return None
    return (
        f"generator must be numpy for `backend: flax`, got {name}; write `generator:"
        " numpy`, with which torch begins from the same noise too"
    )


def _refuse_dtype(name: str) -> str | None:
    if name in FLAX_DTYPES:
        return None
    return (
        f"dtype must be {' or '.join(FLAX_DTYPES)} for `backend: flax`, got {name};"
        f" write `dtype: {FLAX_DTYPES[-1]}`"
    )


def _requiring(name: str) -> Callable[[Any], str | None]:
    """Return the check that a parameter which Flax does not have is neutral."""

    def check(value: Any) -> str | None:
        if not value:
            return None
        return refuse_input(name, shown(shown_as(value)))

    return check
