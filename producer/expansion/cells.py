"""The walk over a grid: its cells in the order of their execution, and their count."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from producer.expansion.grid import Block, Grid
from producer.expansion.points import Point
from producer.spec.problems import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Points that belong together, and all the parameters that they make.

    Attributes:
        parameters: Every parameter, resolved.
        points: One for each of the axes looked at.
    """

    parameters: Mapping[str, Any]
    points: tuple[Point, ...]

    def place_of(self, parameter: str) -> Place | None:
        """Say where a point set the parameter; None where none did."""
        places = (point.place for point in self.points if parameter in point.sets)
        return next(places, None)


def walk(grid: Grid) -> Iterator[Cell]:
    """Give every cell once: seed by seed, and prompt by prompt within a seed.

    Of each seed and prompt there is one cell for every combination of the other axes,
    so that the first of them make a grid that is complete but thin.
    """
    seed_axis, prompt_axis = grid.axis_of("seed"), grid.axis_of("prompt")
    is_one = seed_axis == prompt_axis
    seen: set[Any] = set()
    for seed in _tokens(grid, seed_axis):
        for prompt in [seed] if is_one else _tokens(grid, prompt_axis):
            fixed = {prompt_axis: prompt, seed_axis: seed}
            for block in grid.blocks:
                yield from _walk_block(grid, block, fixed, seen)


def count(grid: Grid) -> int:
    """Count the cells that `walk` gives."""
    main = sum(block.size for block in grid.blocks if not block.is_extra)
    seen: set[Any] = set()
    extra = sum(
        1
        for block in grid.blocks
        if block.is_extra
        for _ in _walk_block(grid, block, {}, seen)
    )
    return main - (_count_excluded(grid) if main else 0) + extra


def combinations(grid: Grid, *parameters: str) -> Iterator[Cell]:
    """Give every combination of a few parameters, leaving the other axes alone.

    Combinations that `exclude` leaves out by these axes, by that of the model and by
    those that have one value only, are not given.
    """
    wanted = {"model", *parameters}
    involved = [
        index
        for index, axis in enumerate(grid.axes)
        if len(axis.points) == 1 or not wanted.isdisjoint(axis.parameters)
    ]
    for block in grid.blocks:
        lists = (block.points[index].values() for index in involved)
        for points in itertools.product(*lists):
            tokens = {i: p.token for i, p in zip(involved, points, strict=True)}
            if block.is_extra or not grid.excludes(tokens):
                yield _cell(block, points)


def _tokens(grid: Grid, axis: int | None) -> Iterable[Any]:
    if axis is None:
        return [None]
    known = [block.points[axis] for block in grid.blocks]
    if len({id(points) for points in known}) == 1:
        return known[0]  # a million seeds are not to be written out
    return dict.fromkeys(itertools.chain(*known))


def _walk_block(
    grid: Grid, block: Block, fixed: Mapping[int | None, Any], seen: set[Any]
) -> Iterator[Cell]:
    lists = []
    for index, points in enumerate(block.points):
        if index not in fixed:
            lists.append(list(points.values()))
        elif fixed[index] in points:
            lists.append([points[fixed[index]]])
        else:
            return
    is_plain = not block.is_extra and not any(
        each is not None for each in grid.excluded
    )
    for chosen in itertools.product(*lists):
        if is_plain or _is_wanted(grid, block, chosen, seen=seen):
            yield _cell(block, chosen)


def _is_wanted(
    grid: Grid, block: Block, points: tuple[Point, ...], *, seen: set[Any]
) -> bool:
    tokens = tuple(point.token for point in points)
    if not block.is_extra:
        return not grid.excludes(dict(enumerate(tokens)))
    identity = (block.base_token, *tokens)
    if identity in seen or _is_in_main(grid, block, tokens):
        return False
    seen.add(identity)
    return True


def _is_in_main(grid: Grid, block: Block, tokens: tuple[Any, ...]) -> bool:
    main = grid.blocks[0]
    if main.is_extra or main.base_token != block.base_token:
        return False
    is_inside = all(t in known for t, known in zip(tokens, main.points, strict=True))
    return is_inside and not grid.excludes(dict(enumerate(tokens)))


def _cell(block: Block, points: tuple[Point, ...]) -> Cell:
    parameters = dict(block.base)
    for point in points:
        parameters.update(point.sets)
    return Cell(parameters=parameters, points=points)


def _count_excluded(grid: Grid) -> int:
    """Count what `exclude` leaves out, walking only the axes that it names."""
    exclusions = [each for each in grid.excluded if each is not None]
    named = sorted({axis for each in exclusions for axis in each})
    others = math.prod(
        len(axis.points) for index, axis in enumerate(grid.axes) if index not in named
    )
    combined = itertools.product(*(grid.axes[index].points for index in named))
    matching = sum(
        1 for tokens in combined if grid.excludes(dict(zip(named, tokens, strict=True)))
    )
    return matching * others
