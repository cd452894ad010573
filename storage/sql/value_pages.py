"""Many values, as many at a time as one statement may name."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

#: Values that one statement names.
PAGE = 1000
Each = TypeVar("Each")


def in_pages(values: Sequence[Each]) -> Iterator[Sequence[Each]]:
    """Yield values in their order, at most `PAGE` at a time."""
    for start in range(0, len(values), PAGE):
        yield values[start : start + PAGE]
