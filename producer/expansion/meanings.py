"""Cells that mean the same: a parameter without effect makes no job of its own.

Whether guidance and the negative prompt have an effect depends on both, so the points
of the axes that set them are compared with each other, and no other axis is walked.
The same goes for eta and the scheduler, which has an eta of its own where none is set.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producer.expansion.grid import Block, Grid
from producer.expansion.points import Point
from producer.expansion.resolution import NOISE, SETTLED, meaning_of

#: Tokens of points: of all axes, or of those that are compared.
Tokens = tuple[Any, ...]


@dataclass(slots=True)
class Choice:
    """Points of the compared axes, and the blocks that have them all.

    Attributes:
        points: One for each compared axis.
        main: The product of all axes, where it has them.
        extras: What `include` adds, where it has them, by the tokens of the axes that
            have one point there; None for others.
    """

    points: tuple[Point, ...]
    main: Block | None = None
    extras: dict[Tokens, list[Block]] = field(default_factory=dict)

    @property
    def blocks(self) -> Iterator[Block]:
        """All of the blocks."""
        main = [self.main] if self.main else []
        return itertools.chain(main, *self.extras.values())


class Meanings:
    """Which points of a grid's axes give the same jobs.

    Attributes:
        axes: Indices of the axes that are compared.
    """

    def __init__(self, grid: Grid) -> None:
        """Compare the points of all blocks; the grid gets no more of them."""
        compared = SETTLED | NOISE if _sets_eta(grid) else SETTLED
        setters = [compared.intersection(axis.parameters) for axis in grid.axes]
        self.axes = tuple(index for index, found in enumerate(setters) if found)
        self._grid = grid
        #: For each axis, whether extra blocks have one point there; all such lists.
        self._shapes: dict[tuple[bool, ...], None] = {}
        names = {name for index in self.axes for name in grid.axes[index].parameters}
        names |= SETTLED | NOISE
        self._names = sorted(names - {"model"})  # a grid has one
        self._choices: dict[Tokens, dict[Tokens, Choice]] = {}
        self._meant = {id(block): dict(self._compare(block)) for block in grid.blocks}

    @property
    def are_different(self) -> bool:
        """Whether no two choices mean the same."""
        return all(len(same) == 1 for same in self._choices.values())

    def main_choices(self) -> list[list[Tokens]]:
        """Give the choices of the product of all axes, those of one meaning together.

        None at all where there is no such product.
        """
        in_main = (
            [picked for picked, choice in same.items() if choice.main]
            for same in self._choices.values()
        )
        return [same for same in in_main if same]

    def worded(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Give the parameters of each meaning's cells, as they were written.

        Cells that are excluded by the compared axes alone are not given.
        """
        for same in self._choices.values():
            cells = [
                _parameters(block, choice.points)
                for picked, choice in same.items()
                for block in choice.blocks
                if block.is_extra or not self._excludes(picked)
            ]
            if cells:
                yield cells

    def identity(self, block: Block, tokens: Tokens) -> Tokens:
        """Give what is equal for the cells of one job.

        Args:
            block: The cell's.
            tokens: Those of all its points.
        """
        others = (t for index, t in enumerate(tokens) if index not in self.axes)
        return (block.base_token, self._meaning(block, tokens), *others)

    def first_in_main(self, block: Block, tokens: Tokens) -> Tokens | None:
        """Give the tokens of the first cell of all axes' product that is the same job.

        None where there is none, or it is excluded.
        """
        for picked, choice in self._same(block, tokens).items():
            changed = self._put(picked, tokens)
            if choice.main and self._wants(choice.main, changed):
                return changed if choice.main.base_token == block.base_token else None
        return None

    def alike(self, block: Block, tokens: Tokens) -> Iterator[tuple[Point, ...]]:
        """Give the points of the compared axes in other cells that are the same job."""
        same = self._same(block, tokens)
        own = self._picked(tokens)
        for picked, choice in same.items() if len(same) > 1 else ():
            changed = self._put(picked, tokens)
            if picked != own and self._has(choice, changed):
                yield choice.points

    def _compare(self, block: Block) -> Iterator[tuple[Tokens, Tokens]]:
        lists = (block.points[index].values() for index in self.axes)
        for points in itertools.product(*lists):
            meant = meaning_of(_parameters(block, points), self._grid.card)
            meaning = tuple(meant[name] for name in self._names)
            picked = tuple(point.token for point in points)
            same = self._choices.setdefault(meaning, {})
            choice = same.setdefault(picked, Choice(points))
            if block.is_extra:
                shape = tuple(len(points) == 1 for points in block.points)
                self._shapes[shape] = None
                firsts = tuple(next(iter(points)) for points in block.points)
                choice.extras.setdefault(_single(firsts, shape), []).append(block)
            else:
                choice.main = block
            yield picked, meaning

    def _meaning(self, block: Block, tokens: Tokens) -> Tokens:
        return self._meant[id(block)][self._picked(tokens)]

    def _same(self, block: Block, tokens: Tokens) -> Mapping[Tokens, Choice]:
        return self._choices[self._meaning(block, tokens)]

    def _picked(self, tokens: Tokens) -> Tokens:
        return tuple(tokens[index] for index in self.axes)

    def _put(self, picked: Tokens, tokens: Tokens) -> Tokens:
        changed = list(tokens)
        for index, token in zip(self.axes, picked, strict=True):
            changed[index] = token
        return tuple(changed)

    def _excludes(self, picked: Tokens) -> bool:
        tokens = dict(zip(self.axes, picked, strict=True))
        return self._grid.exclusions.match(tokens)

    def _has(self, choice: Choice, tokens: Tokens) -> bool:
        """Tell whether any block of a choice has a cell that is not excluded."""
        if choice.main and self._wants(choice.main, tokens):
            return True
        return any(
            self._wants(block, tokens)
            for shape in self._shapes
            for block in choice.extras.get(_single(tokens, shape), ())
        )

    def _wants(self, block: Block, tokens: Tokens) -> bool:
        pairs = zip(tokens, block.points, strict=True)
        is_inside = all(token in known for token, known in pairs)
        if not is_inside or block.is_extra:
            return is_inside
        return not self._grid.exclusions.match(dict(enumerate(tokens)))


def _sets_eta(grid: Grid) -> bool:
    is_varied = any("eta" in axis.parameters for axis in grid.axes)
    return is_varied or any(block.base["eta"] is not None for block in grid.blocks)


def _single(tokens: Tokens, shape: tuple[bool, ...]) -> Tokens:
    """Keep the tokens of the axes that have one point."""
    pairs = zip(tokens, shape, strict=True)
    return tuple(token if is_single else None for token, is_single in pairs)


def _parameters(block: Block, points: Iterable[Point]) -> dict[str, Any]:
    parameters = dict(block.base)
    for point in points:
        parameters.update(point.sets)
    return parameters
