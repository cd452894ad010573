"""What a ControlNet needs beside it, and what cannot stand beside it."""

from collections.abc import Iterator
from typing import Any

from producer.expansion.cells import Cell, combinations
from producer.expansion.control_planning import (
    CONTROL_END,
    CONTROL_IMAGE,
    CONTROL_SCALE,
    CONTROL_START,
    CONTROLNET,
    WITH_NETS,
    control_images,
    control_rows,
)
from producer.expansion.grid import Grid
from producer.spec.parameters import shown_as
from producer.spec.problems import shown
from storage.catalogue.control_pipelines import CONTROL_PIPELINES, ControlPipeline


def find_control_problems(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    """Yield a cell, the parameter that is wrong in it, and what is wrong."""
    cells = [cell for cell in combinations(grid, CONTROLNET) if _nets(cell)]
    if not cells:
        if not grid.sets(CONTROLNET):
            yield from _find_idle(grid)
        return
    known = CONTROL_PIPELINES.get(grid.card.pipeline_class)
    if known is None:
        return  # said already
    yield from _find_wrong_images(grid)
    yield from _find_wrong_times(grid)
    yield from _find_several(grid, known)
    for name in grid.calls:
        yield from _find_lacking(grid, known, name)


def _nets(cell: Cell) -> bool:
    return bool(cell.parameters[CONTROLNET])


def _find_idle(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    for name in WITH_NETS:
        for cell in combinations(grid, name):
            if grid.sets(name) and (value := cell.parameters[name]) is not None:
                message = (
                    f"{name} must stand beside a ControlNet, got"
                    f" {shown(shown_as(value))} without one; add `controlnet: FOLDER`,"
                    " or leave it out"
                )
                yield cell, name, message


def _find_wrong_images(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    names = (CONTROLNET, CONTROL_IMAGE, "width", "height", "resize")
    for cell in combinations(grid, *names):
        given = cell.parameters
        size = (given["width"], given["height"])
        for image in control_images(given):
            if image is None:
                # A wrong ControlNet is told of without that.
                if not given[CONTROLNET].problems:
                    message = (
                        f"control_image must name what {given[CONTROLNET]} follows, got"
                        " none; add `control_image: FILE`"
                    )
                    yield cell, CONTROLNET, message
            elif image.size != size and not given["resize"]:
                message = (
                    f"a control image must have the {size[0]}x{size[1]} pixels of the"
                    f" job, got {image.size[0]}x{image.size[1]} in {image}; write"
                    " `resize: crop` (or stretch, or pad), or another `width` and"
                    " `height`"
                )
                yield cell, CONTROL_IMAGE, message


def _find_wrong_times(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    names = (CONTROLNET, CONTROL_IMAGE, CONTROL_SCALE, CONTROL_START, CONTROL_END)
    for cell in combinations(grid, *names):
        for row in control_rows(cell.parameters):
            if row.start >= row.end:
                message = (
                    "control_start must be less than control_end, got"
                    f" {row.start:g} and {row.end:g}; lower the one or raise the other"
                )
                yield cell, CONTROL_START, message


def _find_several(
    grid: Grid, known: ControlPipeline
) -> Iterator[tuple[Cell, str, str]]:
    if known.several_from_image:
        return
    for cell in combinations(grid, CONTROLNET, "image"):
        nets = cell.parameters[CONTROLNET]
        if len(nets.nets) > 1 and cell.parameters["image"]:
            message = (
                "controlnet must be one beside an input image, since"
                f" {known.from_image} of diffusers fails with several, got {nets};"
                " leave out the others"
            )
            yield cell, CONTROLNET, message


def _find_lacking(
    grid: Grid, known: ControlPipeline, name: str
) -> Iterator[tuple[Cell, str, str]]:
    default: Any = grid.card.call_default(name)
    for cell in combinations(grid, CONTROLNET, "image", name):
        value, from_image = cell.parameters[name], bool(cell.parameters["image"])
        is_lacking = name in known.lacks_for(from_image=from_image)
        if is_lacking and _nets(cell) and value not in (None, default):
            yield (
                cell,
                name,
                f"{name} must be left out beside a ControlNet, since"
                f" {known.name_for(from_image=from_image)} has no such input, got"
                f" {shown(shown_as(value))}",
            )
