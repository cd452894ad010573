"""The values in the arguments of a network's call, and in its answer.

Values are leaves in dictionaries, tuples and lists. A leaf is a tensor, a list of rows,
or anything else.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

#: Dimensions of images and of their latents: row, channel, height, width.
_IMAGE_DIMENSIONS = 4
#: Dtypes that hold a timestep exactly.
_NUMBERS = frozenset({torch.int32, torch.int64, torch.float32, torch.float64})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How a call, or its answer, has rows.

    Attributes:
        count: Number of rows.
        in_lists: Whether a list of that many tensors is a list of rows.
    """

    count: int
    in_lists: bool = False

    def are_in(self, value: Any) -> bool:
        """Return whether a value is a list of rows."""
        is_list = self.in_lists and isinstance(value, list)
        return is_list and len(value) == self.count and are_tensors(value)

    def is_list_without_rows(self, value: Any) -> bool:
        """Return whether a value is a list of tensors without rows, such as positions.

        One of them may be as long as there are rows, by chance; the others are not.
        """
        is_list = isinstance(value, list) and are_tensors(value)
        return is_list and not all(each.shape[:1] == (self.count,) for each in value)


@dataclass(frozen=True, slots=True)
class Rowless:
    """Tensors without rows, which are equal in all calls that are merged."""

    value: Sequence[torch.Tensor]


def flatten(value: Any, leaves: list[Any], rows: Rows) -> Hashable:
    """Collect the leaves of a value; return what must be equal to merge it.

    Args:
        value: A leaf, or dictionaries, tuples and lists of leaves.
        leaves: Where they are collected.
        rows: Rows of the call.
    """
    if isinstance(value, torch.Tensor):
        leaves.append(value)
        return (value.shape, is_number(value) or value.dtype, has_channels_last(value))
    if isinstance(value, dict):
        return tuple((k, flatten(v, leaves, rows)) for k, v in value.items())
    if isinstance(value, tuple | list):
        return _flatten_sequence(value, leaves, rows)
    leaves.append(value)
    is_plain = value is None or isinstance(value, str | bool | int | float)
    return value if is_plain else repr(value)


def rebuild(value: Any, leaves: Iterator[Any], rows: Rows) -> Any:
    """Return a value with other leaves; see `flatten`."""
    if isinstance(value, dict):
        made = {k: rebuild(v, leaves, rows) for k, v in value.items()}
        # An output class of diffusers is a dictionary, too.
        return made if type(value) is dict else type(value)(**made)
    if isinstance(value, tuple | list) and not (
        rows.are_in(value) or rows.is_list_without_rows(value)
    ):
        return type(value)([rebuild(each, leaves, rows) for each in value])
    leaf = next(leaves)
    return leaf.value if isinstance(leaf, Rowless) else leaf


def are_tensors(values: Sequence[Any]) -> bool:
    """Return whether all values are tensors."""
    return all(isinstance(value, torch.Tensor) for value in values)


def has_channels_last(leaf: torch.Tensor) -> bool:
    """Return whether the channels of an image are together in memory.

    The latents of an input image are. Kernels are chosen by it, so it decides low bits.
    """
    if leaf.ndim != _IMAGE_DIMENSIONS or leaf.is_contiguous():
        return False
    return leaf.is_contiguous(memory_format=torch.channels_last)


def is_number(leaf: torch.Tensor) -> bool:
    """Return whether a tensor may be a timestep, one for all rows or one for each.

    Schedulers have timesteps of several dtypes, which networks embed in float32. Those
    of calls that are merged may differ; the wider dtype holds them all.
    """
    return leaf.ndim == 0 or (leaf.ndim == 1 and leaf.dtype in _NUMBERS)


def _flatten_sequence(value: Any, leaves: list[Any], rows: Rows) -> Hashable:
    if rows.are_in(value):
        leaves.append(value)
    elif rows.is_list_without_rows(value):
        leaves.append(Rowless(value))
    else:
        return tuple([flatten(each, leaves, rows) for each in value])
    return tuple([(each.shape, each.dtype) for each in value])
