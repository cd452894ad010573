"""What cannot begin with an input image, and what an input image cannot be."""

from collections.abc import Iterator
from typing import Any

from producer.expansion.cells import Cell, combinations
from producer.expansion.control_planning import CONTROLNET
from producer.expansion.grid import Grid
from producer.models.cards import ModelCard
from producer.spec.input_images import InputImage
from producer.spec.parameters import shown_as
from producer.spec.problems import listed, shown
from storage.catalogue.image_pipelines import IMAGE_PIPELINES, ImagePipeline

#: Parameters without effect beside no image.
_WITH_IMAGE = ("strength", "resize")


def find_image_problems(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    """Yield a cell, the parameter that is wrong in it, and what is wrong."""
    cells = list(combinations(grid, "image", "generator"))
    with_image = [cell for cell in cells if cell.parameters["image"]]
    if not with_image:
        yield from _find_idle(grid)
        return
    known = IMAGE_PIPELINES.get(grid.card.pipeline_class)
    if known is None:
        yield with_image[0], "image", _no_sibling(grid.card, with_image[0])
        return
    for cell in with_image:
        if cell.parameters["generator"] == "numpy":
            yield cell, "generator", _NO_NUMPY
    yield from _find_wrong_sizes(grid)
    yield from _find_too_few_steps(grid, known)
    for name in known.lacks.intersection(grid.calls):
        yield from _find_lacking(grid, known, name)


_NO_NUMPY = (
    "generator must be cpu or cuda for a job with an input image, whose first noise is"
    " added to the image, got numpy; write `generator: cpu`"
)


def _find_idle(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    for name in _WITH_IMAGE:
        if name == "resize" and grid.sets(CONTROLNET):
            continue  # it is for control images
        for cell in combinations(grid, name):
            if value := cell.parameters[name]:
                message = (
                    f"{name} must stand beside an input image, got"
                    f" {shown(shown_as(value))} without one; add `image: FILE`, or"
                    " leave it out"
                )
                yield cell, name, message


def _no_sibling(card: ModelCard, cell: Cell) -> str:
    return (
        f"image must be left out for a {card.pipeline_class}, which cannot begin with"
        f" an image here, got {shown(shown_as(cell.parameters['image']))}; those that"
        f" can are {listed(IMAGE_PIPELINES)}"
    )


def _find_wrong_sizes(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    for cell in combinations(grid, "image", "width", "height", "resize"):
        image: InputImage | None = cell.parameters["image"]
        size = (cell.parameters["width"], cell.parameters["height"])
        if image and image.size != size and not cell.parameters["resize"]:
            yield (
                cell,
                "image",
                f"an input image must have the {size[0]}x{size[1]} pixels of the job,"
                f" got {image.size[0]}x{image.size[1]} in {image}; write `resize: crop`"
                " (or stretch, or pad), or another `width` and `height`",
            )


def _find_too_few_steps(
    grid: Grid, known: ImagePipeline
) -> Iterator[tuple[Cell, str, str]]:
    for cell in combinations(grid, "image", "strength", "steps"):
        if not cell.parameters["image"]:
            continue
        steps = cell.parameters["steps"]
        strength = cell.parameters["strength"] or known.strength
        if known.skipped(steps, strength) >= steps:
            yield (
                cell,
                "strength",
                f"steps x strength must be at least 1 for an input image, got {steps} x"
                f" {strength:g}; raise one of them",
            )


def _find_lacking(
    grid: Grid, known: ImagePipeline, name: str
) -> Iterator[tuple[Cell, str, str]]:
    default: Any = grid.card.call_default(name)
    for cell in combinations(grid, "image", name):
        value = cell.parameters[name]
        if cell.parameters["image"] and value not in (None, default):
            yield (
                cell,
                name,
                f"{name} must be left out beside an input image, since {known.name} has"
                f" no such input, got {shown(shown_as(value))}",
            )
