"""Cells that mean the same: a parameter without effect makes no job of its own.

Whether guidance and the negative prompt have an effect depends on both, so the points
of the axes that set them are compared with each other, and no other axis is walked.
The same goes for eta, the shift and the scheduler, which has an eta and a shift of its
own where none is set, and for inputs that are the size of the image where none is set.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producer.expansion.exclusions import Exclusions
from producer.expansion.points import GridAxis, Point
from producer.expansion.products import Block
from producer.expansion.resolution import (
    LIKE_SIZE,
    OF_SCHEDULER,
    SETTLED,
    SIZE,
    meaning_of,
)
from producer.models.cards import ModelCard

#: Tokens of points: of all axes, or of the compared axes only.
Tokens = tuple[Any, ...]


@dataclass(slots=True)
class Choice:
    """Points of the compared axes, and the blocks that have them all.

    Attributes:
        points: One for each compared axis.
        blocks: At least one; the product of all axes is the first, if it is there.
    """

    points: tuple[Point, ...]
    blocks: list[Block] = field(default_factory=list)

    @property
    def is_in_main(self) -> bool:
        """Whether the product of all axes has the points."""
        return not self.blocks[0].is_extra


class Meanings:
    """Which points of a grid's axes give the same jobs.

    Attributes:
        axes: Indices of the axes that are compared.
    """

    def __init__(
        self,
        axes: Sequence[GridAxis],
        blocks: Sequence[Block],
        *,
        card: ModelCard,
        exclusions: Exclusions,
    ) -> None:
        """Compare the points of all blocks; the product of all axes is the first."""
        compared = _compared(axes, blocks)
        setters = [compared.intersection(axis.parameters) for axis in axes]
        self.axes = tuple(index for index, found in enumerate(setters) if found)
        self._all = [axis.points for axis in axes]
        self._card = card
        self._exclusions = exclusions
        names = {name for index in self.axes for name in axes[index].parameters}
        names |= compared | OF_SCHEDULER
        known = blocks[0].base.keys() if blocks else set()
        self._names = sorted(names & known - {"model"})  # a grid has one model
        #: By meaning, then by the tokens of the compared axes.
        self._choices: dict[Tokens, dict[Tokens, Choice]] = {}
        self._added = _AddedCells()
        self._meant = {id(block): dict(self._compare(block)) for block in blocks}

    @property
    def are_different(self) -> bool:
        """Whether no two choices mean the same."""
        return all(len(same) == 1 for same in self._choices.values())

    def main_choices(self) -> list[list[Tokens]]:
        """Return the choices of the product of all axes, grouped by meaning.

        The list is empty where there is no such product.
        """
        in_main = (
            [picked for picked, choice in same.items() if choice.is_in_main]
            for same in self._choices.values()
        )
        return [same for same in in_main if same]

    def worded(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield the parameters of each meaning's cells, as they were written.

        Cells that are excluded by the compared axes alone are skipped.
        """
        for same in self._choices.values():
            cells = [
                block.parameters(choice.points)
                for picked, choice in same.items()
                for block in choice.blocks
                if block.is_extra or not self._excludes(picked)
            ]
            if cells:
                yield cells

    def identity(self, block: Block, tokens: Tokens) -> Tokens:
        """Return tokens that are equal for the cells of one job.

        Args:
            block: The block of the cell.
            tokens: The tokens of all its points.
        """
        others = (t for index, t in enumerate(tokens) if index not in self.axes)
        return (self._meaning(block, tokens), *others)

    def first_in_main(self, block: Block, tokens: Tokens) -> Tokens | None:
        """Return the tokens of the first cell of the product that is the same job.

        None where there is no such cell, or all of them are excluded.
        """
        for picked, choice in self._choices[self._meaning(block, tokens)].items():
            changed = self._put(picked, tokens)
            if choice.is_in_main and self._is_in_main(changed):
                return changed
        return None

    def alike(self, block: Block, tokens: Tokens) -> Iterator[tuple[Point, ...]]:
        """Yield the points of the compared axes in cells that are the same job."""
        meaning, own = self._meaning(block, tokens), self._picked(tokens)
        same = self._choices[meaning]
        for picked, choice in same.items() if len(same) > 1 else ():
            changed = self._put(picked, tokens)
            if picked != own and (
                (choice.is_in_main and self._is_in_main(changed))
                or self._added.has(meaning, changed, self._all)
            ):
                yield choice.points

    def _compare(self, block: Block) -> Iterator[tuple[Tokens, Tokens]]:
        lists = (block.points[index].values() for index in self.axes)
        for points in itertools.product(*lists):
            meant = meaning_of(block.parameters(points), self._card)
            meaning = (block.base_token, *(meant[name] for name in self._names))
            picked = tuple(point.token for point in points)
            same = self._choices.setdefault(meaning, {})
            same.setdefault(picked, Choice(points)).blocks.append(block)
            if block.is_extra:
                firsts = tuple(next(iter(points)) for points in block.points)
                kind = (len(points) == 1 for points in block.points)
                single = tuple(i in self.axes or one for i, one in enumerate(kind))
                self._added.add(meaning, self._put(picked, firsts), single)
            yield picked, meaning

    def _meaning(self, block: Block, tokens: Tokens) -> Tokens:
        return self._meant[id(block)][self._picked(tokens)]

    def _picked(self, tokens: Tokens) -> Tokens:
        return tuple(tokens[index] for index in self.axes)

    def _put(self, picked: Tokens, tokens: Tokens) -> Tokens:
        changed = list(tokens)
        for index, token in zip(self.axes, picked, strict=True):
            changed[index] = token
        return tuple(changed)

    def _excludes(self, picked: Tokens) -> bool:
        return self._exclusions.match(dict(zip(self.axes, picked, strict=True)))

    def _is_in_main(self, tokens: Tokens) -> bool:
        """Return whether the product of all axes has a cell and it is not excluded."""
        return _are_in(tokens, self._all) and not self._exclusions.match(
            dict(enumerate(tokens))
        )


class _AddedCells:
    """The cells that `include` adds; there may be a hundred thousand entries.

    A row has one point of an axis or all of them, so `{steps: [4, 8]}` beside an axis
    of seeds is kept as two rows of tokens:

        seed ...  steps 4
        seed ...  steps 8

    A cell is looked up with `...` in the same places, not compared with every row.
    """

    def __init__(self) -> None:
        self._rows: set[tuple[Tokens, Tokens]] = set()
        #: For each kind of row, on which axes it has one point.
        self._kinds: set[tuple[bool, ...]] = set()

    def add(self, meaning: Tokens, tokens: Tokens, single: tuple[bool, ...]) -> None:
        """Add a row.

        Args:
            meaning: The meaning of its cells.
            tokens: One for each axis.
            single: For each axis, whether the row has this point only; else it has all.
        """
        self._kinds.add(single)
        self._rows.add((meaning, _row(tokens, single)))

    def has(
        self, meaning: Tokens, tokens: Tokens, known: Sequence[Mapping[Any, Point]]
    ) -> bool:
        """Return whether a cell is among the added ones.

        Args:
            meaning: The meaning of the cell.
            tokens: The tokens of all its points.
            known: All points of each axis, which `...` stands for.
        """
        return any(
            (meaning, _row(tokens, single)) in self._rows
            and all(
                is_single or token in points
                for token, points, is_single in zip(tokens, known, single, strict=True)
            )
            for single in self._kinds
        )


def _row(tokens: Tokens, single: tuple[bool, ...]) -> Tokens:
    """Return tokens with `...` for each axis of which a row has all points."""
    pairs = zip(tokens, single, strict=True)
    return tuple(token if is_single else ... for token, is_single in pairs)


def _are_in(tokens: Tokens, points: Sequence[Mapping[Any, Point]]) -> bool:
    return all(token in known for token, known in zip(tokens, points, strict=True))


def _compared(axes: Sequence[GridAxis], blocks: Sequence[Block]) -> frozenset[str]:
    """Return the parameters whose axes are compared."""
    found = SETTLED
    # Something besides the scheduler decides what that is.
    if _are_set(OF_SCHEDULER - {"scheduler"}, axes, blocks):
        found |= OF_SCHEDULER
    if _are_set(LIKE_SIZE, axes, blocks):
        found |= SIZE
    return found


def _are_set(
    names: frozenset[str], axes: Sequence[GridAxis], blocks: Sequence[Block]
) -> bool:
    is_varied = any(not names.isdisjoint(axis.parameters) for axis in axes)
    bases = (block.base for block in blocks)
    return is_varied or any(base.get(n) is not None for base in bases for n in names)
