"""Values that make one job, and the sentences that say so to the sweep's author."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from producer.expansion.control_planning import CONTROLNET, WITH_NETS
from producer.expansion.grid import Grid
from producer.expansion.resolution import LIKE_SIZE, SETTLED, meaning_of, settled
from producer.expansion.weight_planning import LORA_SCALE, LORAS
from producer.spec.parameters import shown_as
from storage.catalogue.pipeline_families import (
    NO_GUIDANCE,
    ONLY_GUIDED,
    OWN_SCALE,
)

#: What must be there for a parameter to have an effect.
_WITHOUT: Mapping[str, str] = {
    **dict.fromkeys(("strength", "resize"), "an image"),
    **dict.fromkeys(WITH_NETS, "a ControlNet"),
}
#: What values that make one job leave as it was, for parameters of weights.
_LEAVES: Mapping[str, str] = {
    **dict.fromkeys((LORAS, LORA_SCALE), "LoRAs at the same scales"),
    **dict.fromkeys((CONTROLNET, *WITH_NETS), "ControlNets, images and scales"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Values of one parameter that make one job.

    Attributes:
        parameter: Guidance, negative prompt, eta or scheduler.
        meant: What the job has instead; for a scheduler, its class and eta.
        count: How many values; 1 where the only value has no effect and is left out.
    """

    parameter: str
    meant: Any
    count: int


def find_merges(grid: Grid) -> list[Merge]:
    """Return each parameter that makes fewer jobs than it has values, by meaning.

    A merge counts its values, and names no pair.
    """
    most: dict[tuple[str, Any], int] = {}
    for cells in grid.meanings.worded():
        for parameter, meant, count in (*_idle(grid, cells), *_noise(grid, cells)):
            most[parameter, meant] = max(most.get((parameter, meant), 1), count)
    return [
        Merge(parameter=parameter, meant=meant, count=count)
        for (parameter, meant), count in most.items()
    ]


def name_merges(grid: Grid) -> Iterator[str]:
    """Yield a sentence for each merge."""
    for merge in find_merges(grid):
        result = ", and is left out"
        if merge.count > 1:
            result = f": {merge.count} values make one job"
        said = _say(merge, grid)
        yield f"{grid.card.model.name}: {merge.parameter} {said}{result}"


def _idle(
    grid: Grid, cells: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Any, int]]:
    """Yield parameters without effect on one job, their meaning and count of values."""
    if grid.card.effects is None:
        return
    meant = settled(cells[0], grid.card)
    for parameter in sorted(SETTLED & meant.keys()):
        values = {cell[parameter] for cell in cells}
        if len(values) > 1 or _is_left_out(grid, parameter, values, meant):
            yield parameter, _meant(parameter, meant), len(values)


def _meant(parameter: str, meant: Mapping[str, Any]) -> Any:
    """Return what a job has of a parameter; of ControlNets, how labels show it."""
    if parameter in WITH_NETS and not meant[CONTROLNET]:
        return None
    is_of_nets = parameter in (CONTROLNET, *WITH_NETS)
    return shown_as(meant[parameter]) if is_of_nets else meant[parameter]


def _noise(
    grid: Grid, cells: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Any, int]]:
    """Yield eta or scheduler if cells of one job word it differently, and the count."""
    eta = meaning_of(cells[0], grid.card)["eta"]
    etas = {cell["eta"] for cell in cells}
    if len(etas) > 1:
        yield "eta", eta, len(etas)
    schedulers = {cell["scheduler"].token for cell in cells}
    if len(schedulers) > 1:
        meant = (cells[0]["scheduler"].asked.class_name, eta)
        yield "scheduler", meant, len(schedulers)


def _is_left_out(
    grid: Grid, parameter: str, values: Collection[Any], meant: Mapping[str, Any]
) -> bool:
    """Return whether the sweep's one value of a parameter is not what the job has.

    Several numbers mean no guidance, which is not worth a sentence.
    """
    effects = grid.card.effects
    is_scale = parameter == "guidance" and effects is not None and effects.takes_scale
    is_default = parameter == "strength" and meant[parameter] is not None
    return (
        meant[parameter] not in values
        and grid.sets(parameter)
        and not (is_scale or is_default)
    )


#: Where parameters of pipelines' calls have no effect.
_SAID = {
    OWN_SCALE: "has no effect without a negative prompt, or at 1 or less",
    **dict.fromkeys(ONLY_GUIDED, "has no effect without guidance"),
    **dict.fromkeys(LIKE_SIZE, "has no effect where it is the size of the image"),
}


def _say(merge: Merge, grid: Grid) -> str:
    """Say what the values mean, or where they have no effect."""
    effects = grid.card.effects
    if said := _SAID.get(merge.parameter):
        return said
    if merge.meant is None and (lacking := _WITHOUT.get(merge.parameter)):
        return f"has no effect without {lacking}"
    if leaves := _LEAVES.get(merge.parameter):
        return f"leaves the same {leaves}"
    if merge.parameter in ("eta", "strength"):
        return f"null means {merge.meant:g}"
    if merge.parameter == "scheduler":
        class_name, eta = merge.meant
        return f"means {class_name} with eta {eta:g}"
    is_scale = merge.parameter == "guidance"
    off = effects.off if effects else None
    if off is None and is_scale and merge.meant != NO_GUIDANCE:
        return f"has no effect beside a negative prompt, where {merge.meant:g} is used"
    if not is_scale and OWN_SCALE in grid.card.calls:
        return f"has no effect unless {OWN_SCALE} is above 1"
    if off is None or not (is_scale or (effects and effects.reads_negative(inf))):
        return "has no effect"
    limit = "" if is_scale else "guidance "
    return f"has no effect at {limit}{off:g} or less"
