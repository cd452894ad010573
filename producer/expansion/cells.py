"""The walk over a grid: its cells in the order of their execution, and their count."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.expansion.equivalents import Tokens
from producer.expansion.grid import Grid
from producer.expansion.points import Point
from producer.expansion.products import Block
from producer.spec.problems import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Points that belong together, and all the parameters that they make.

    Attributes:
        parameters: Every parameter, resolved.
        points: One for each of the axes looked at.
        alike: The points of other cells that give the same job, by the index of the
            axis; on axes that are not named, all these cells have the same point.
    """

    parameters: Mapping[str, Any]
    points: tuple[Point, ...]
    alike: tuple[Mapping[int, Point], ...] = ()

    def place_of(self, parameter: str) -> Place | None:
        """Return where a point set the parameter; None where none did."""
        places = (point.place for point in self.points if parameter in point.sets)
        return next(places, None)


def walk(grid: Grid) -> Iterator[Cell]:
    """Yield a cell for every job: seed by seed, and prompt by prompt within a seed.

    Each seed and prompt has one cell for every combination of the other axes, so that
    the first cells make a grid that is complete but thin.
    """
    walker = _Walker(grid)
    seed_axis, prompt_axis = grid.axis_of("seed"), grid.axis_of("prompt")
    is_one = seed_axis == prompt_axis
    for seed, of_seed in _split(grid.blocks, seed_axis):
        same = [(seed, of_seed)]
        for prompt, of_both in same if is_one else _split(of_seed, prompt_axis):
            fixed = {prompt_axis: prompt, seed_axis: seed}
            for block in of_both:
                yield from walker.cells(block, fixed)


def pick(grid: Grid, chosen: Iterable[Tokens]) -> Iterator[Cell]:
    """Yield the cells of the product of all axes that have these tokens."""
    walker = _Walker(grid)
    for tokens in chosen:
        yield walker.cell(grid.blocks[0], tokens)


def count(grid: Grid) -> int:
    """Count the cells that `walk` yields."""
    walker = _Walker(grid)
    extras = (block for block in grid.blocks if block.is_extra)
    return walker.count_main() + sum(1 for b in extras for _ in walker.cells(b, {}))


def combinations(grid: Grid, *parameters: str) -> Iterator[Cell]:
    """Yield every combination of a few parameters, leaving the other axes alone.

    Combinations that are excluded by these axes, the axis of the model and axes with
    one value only are skipped.
    """
    for block, points in choose_points(grid, *parameters):
        yield make_cell(block, tuple(points.values()))


def choose_points(
    grid: Grid, *parameters: str
) -> Iterator[tuple[Block, Mapping[int, Point]]]:
    """Yield the points of every such combination, by their axes, and its block."""
    wanted = {"model", *parameters}
    involved = [
        index
        for index, axis in enumerate(grid.axes)
        if len(axis.points) == 1 or not wanted.isdisjoint(axis.parameters)
    ]
    for block in grid.blocks:
        lists = (block.points[index].values() for index in involved)
        for points in itertools.product(*lists):
            chosen = dict(zip(involved, points, strict=True))
            tokens = {index: point.token for index, point in chosen.items()}
            if block.is_extra or not grid.exclusions.match(tokens):
                yield block, chosen


def _split(
    blocks: Sequence[Block], axis: int | None
) -> Iterator[tuple[Any, Sequence[Block]]]:
    """Yield each token of an axis with the blocks that have it, in their order."""
    if axis is None:
        yield None, blocks
        return
    known = [block.points[axis] for block in blocks]
    if len({id(points) for points in known}) == 1:
        for token in known[0]:  # a million seeds must not be written out
            yield token, blocks
        return
    # A block has all points of an axis or one.
    whole = {i: points for i, points in enumerate(known) if len(points) > 1}
    single: dict[Any, list[int]] = {}
    for index, points in enumerate(known):
        if index not in whole:
            single.setdefault(next(iter(points)), []).append(index)
    every = next(iter(whole.values()), {})
    lists = {id(points): points for points in known}
    for token in dict.fromkeys(itertools.chain(*lists.values())):
        indices = single.get(token, [])
        if token in every:
            indices = sorted([*whole, *indices])
        yield token, [blocks[index] for index in indices]


class _Walker:
    """Walks over the blocks of a grid; yields no job twice."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._meanings = grid.meanings
        self._has_all = self._meanings.are_different and grid.exclusions.is_empty
        self._seen: set[Tokens] = set()

    def cells(self, block: Block, fixed: Mapping[int | None, Any]) -> Iterator[Cell]:
        """Yield the cells of a block.

        Args:
            block: A block of the grid.
            fixed: Axis to the token of its only point.
        """
        lists = []
        for index, points in enumerate(block.points):
            if index not in fixed:
                lists.append(list(points.values()))
            elif fixed[index] in points:
                lists.append([points[fixed[index]]])
            else:
                return
        is_plain = self._has_all and not block.is_extra
        for chosen in itertools.product(*lists):
            if is_plain:
                yield make_cell(block, chosen)
                continue
            tokens = tuple(point.token for point in chosen)
            if self._is_first(block, tokens):
                yield make_cell(block, chosen, alike=self._alike(block, tokens))

    def cell(self, block: Block, tokens: Tokens) -> Cell:
        """Make the cell of some tokens of a block, one for each axis."""
        known = zip(block.points, tokens, strict=True)
        points = tuple(points[token] for points, token in known)
        alike = () if self._has_all else self._alike(block, tokens)
        return make_cell(block, points, alike=alike)

    def count_main(self) -> int:
        """Count the cells of the product, walking only the axes that matter.

        Axes matter if exclusions name them or if their points may mean the same.
        """
        choices = self._meanings.main_choices()
        compared = self._meanings.axes
        if all(len(same) == 1 for same in choices):
            choices, compared = [[()]] if choices else [], ()
        free = sorted(self._grid.exclusions.axes.difference(compared))
        others = math.prod(
            len(axis.points)
            for index, axis in enumerate(self._grid.axes)
            if index not in (*free, *compared)
        )
        axes = (*free, *compared)
        combined = itertools.product(*(self._grid.axes[index].points for index in free))
        return others * sum(
            any(self._is_wanted(axes, (*tokens, *picked)) for picked in same)
            for tokens in combined
            for same in choices
        )

    def _is_wanted(self, axes: Tokens, tokens: Tokens) -> bool:
        return not self._grid.exclusions.match(dict(zip(axes, tokens, strict=True)))

    def _is_first(self, block: Block, tokens: Tokens) -> bool:
        first = self._meanings.first_in_main(block, tokens)
        if not block.is_extra:
            return first == tokens
        identity = self._meanings.identity(block, tokens)
        if first is not None or identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _alike(self, block: Block, tokens: Tokens) -> tuple[Mapping[int, Point], ...]:
        return tuple(
            dict(zip(self._meanings.axes, points, strict=True))
            for points in self._meanings.alike(block, tokens)
        )


def make_cell(
    block: Block,
    points: tuple[Point, ...],
    *,
    alike: tuple[Mapping[int, Point], ...] = (),
) -> Cell:
    """Make the cell of some points of a block, one for each axis that is looked at."""
    return Cell(parameters=block.parameters(points), points=points, alike=alike)
