"""The layers that a LoKr changes, from the shapes of its tensors.

A LoKr adds the Kronecker product of two matrices, `lokr_w1` and `lokr_w2`. Either may
be the product of two smaller ones, `lokr_w1_a` and `lokr_w1_b`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from storage.models.tensor_headers import Shape

_KEY = re.compile(r"(.+)\.lokr_w[12](?:_[ab])?")


def is_lokr(keys: Iterable[str]) -> bool:
    """Return whether a file with these keys is a LoKr."""
    return any(map(_KEY.fullmatch, keys))


def changes_of(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the stem of each layer's keys, and its outputs and inputs."""
    stems = {match[1]: None for key in shapes if (match := _KEY.fullmatch(key))}
    for stem in stems:
        left = _matrix(shapes, f"{stem}.lokr_w1")
        right = _matrix(shapes, f"{stem}.lokr_w2")
        if left and right:
            yield stem, (left[0] * right[0], left[1] * right[1])


def _matrix(shapes: Mapping[str, Shape], key: str) -> tuple[int, int] | None:
    first = shapes.get(key) or shapes.get(f"{key}_a", ())
    last = shapes.get(key) or shapes.get(f"{key}_b", ())
    return (first[0], last[1]) if len(first) == len(last) == 2 else None
