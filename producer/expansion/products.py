"""Products of points: the parts that a grid is made of."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from producer.expansion.points import Point
from producer.expansion.resolution import combine


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A product of points: a model's whole grid, or one entry of `include`.

    Attributes:
        base: Every parameter, as it is where no axis sets it.
        base_token: Equal for blocks whose parameters outside all axes are equal, not
            counting parameters whose meaning depends on others.
        points: For each axis of the grid, its points by token. A block of `include` has
            all points of an axis or one.
        is_extra: Whether it comes from `include`.
    """

    base: Mapping[str, Any]
    base_token: tuple[Any, ...]
    points: tuple[Mapping[Any, Point], ...]
    is_extra: bool

    @property
    def size(self) -> int:
        """The number of cells, including excluded and repeated ones."""
        return math.prod(map(len, self.points))

    def parameters(self, points: Iterable[Point]) -> dict[str, Any]:
        """Return the base as points of some axes change it."""
        return combine(self.base, (point.sets for point in points))
