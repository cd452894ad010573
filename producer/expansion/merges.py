"""Parameters that have no effect, in sentences for the person who wrote them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from producer.expansion.grid import Grid
from producer.expansion.meanings import Meanings
from producer.expansion.resolution import SETTLED, meaning_of, settled
from storage.pipeline_families import Guidance


def name_merges(grid: Grid) -> Iterator[str]:
    """Give a sentence for each parameter whose values make fewer jobs than there are.

    It counts the values, and names no pair.
    """
    most: dict[str, int] = {}
    for cells in Meanings(grid).worded():
        for sentence, count in (*_find_idle(grid, cells), *_find_noise(grid, cells)):
            most[sentence] = max(most.get(sentence, 1), count)
    for sentence, count in most.items():
        result = f": {count} values make one job" if count > 1 else ", and is left out"
        yield f"{grid.card.model.name}: {sentence}{result}"


def _find_idle(
    grid: Grid, cells: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int]]:
    """Give what has no effect on the job of some cells, and how many values."""
    if grid.card.effects is None:
        return
    meant = settled(cells[0], grid.card)
    for parameter in sorted(SETTLED):
        values = {cell[parameter] for cell in cells}
        if len(values) > 1 or _is_left_out(grid, parameter, values, meant):
            yield parameter + _say(parameter, grid.card.effects, meant), len(values)


def _find_noise(
    grid: Grid, cells: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int]]:
    """Give the wordings of one eta in some cells of one job, and how many they are."""
    eta = f"{meaning_of(cells[0], grid.card)['eta']:g}"
    etas = {cell["eta"] for cell in cells}
    if len(etas) > 1:
        yield f"eta null means {eta}", len(etas)
    schedulers = {cell["scheduler"].token: cell["scheduler"] for cell in cells}
    if len(schedulers) > 1:
        class_name = cells[0]["scheduler"].asked.class_name
        yield f"scheduler means {class_name} with eta {eta}", len(schedulers)


def _is_left_out(
    grid: Grid, parameter: str, values: Collection[Any], meant: Mapping[str, Any]
) -> bool:
    """Tell whether the sweep's one value of a parameter is not what the job has.

    A guidance of none has other numbers too, which is not worth a word.
    """
    effects = grid.card.effects
    is_scale = parameter == "guidance" and effects is not None and effects.takes_scale
    return meant[parameter] not in values and grid.sets(parameter) and not is_scale


def _say(parameter: str, effects: Guidance, meant: Mapping[str, Any]) -> str:
    """Say that a parameter has no effect, and where."""
    is_scale = parameter == "guidance"
    if is_scale and meant["negative_prompt"] and effects.own_scale:
        return (
            f" has no effect beside a negative prompt, where {effects.own_scale:g} is "
            "taken"
        )
    if effects.off is None or not (is_scale or effects.reads_negative):
        return " has no effect"
    limit = "" if is_scale else "guidance "
    return f" has no effect at {limit}{effects.off:g} or less"
