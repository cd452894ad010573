"""Calls of a network: which of them can be one call, and how they become one.

A call has one or more rows: with classifier-free guidance, most pipelines pass the
unconditional row and the conditional one together. Calls with equal signatures are
merged: the first rows of all calls, then their second rows, as an ordinary batch of
diffusers has them. The answer is split in the same order.
"""

import operator
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

#: Fewest dimensions of a network's main input.
_INPUT_DIMENSIONS = 2


class UnshareableError(Exception):
    """A pipeline calls its network in a way that calls of other jobs cannot join."""


@dataclass(slots=True, eq=False)
class Call:
    """A job's call of a network, which waits for its answer.

    Attributes:
        network: The pipeline's attribute that holds the network.
        args: Positional arguments.
        kwargs: Arguments by name.
        rows: Rows of the call.
        list_rows: The same if the network takes lists of rows, else None.
        leaves: All values in the arguments, in a fixed order: tensors, lists of rows,
            and others.
        signature: Equal for calls that can be merged: the network, the image size, the
            structure of the arguments, shapes and dtypes, and all that is no tensor.
    """

    network: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    rows: int
    list_rows: int | None
    leaves: Sequence[Any]
    signature: Hashable


def read_call(
    network: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, size: Hashable
) -> Call:
    """Read a call of a network.

    Args:
        network: The pipeline's attribute that holds it.
        args: Positional arguments.
        kwargs: Arguments by name.
        size: Width and height of the image. Tensors that have no rows, such as the
            positions of tokens, follow from it.

    Raises:
        UnshareableError: No argument has rows.
    """
    rows, takes_lists = _count_rows((*args, *kwargs.values()))
    list_rows = rows if takes_lists else None
    leaves: list[Any] = []
    kind = _flatten((args, kwargs), leaves, list_rows)
    return Call(
        network=network,
        args=args,
        kwargs=kwargs,
        rows=rows,
        list_rows=list_rows,
        leaves=leaves,
        signature=(network, size, rows, kind),
    )


def whole_call(
    network: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, size: Hashable
) -> Call:
    """Return a call of a network that is never merged with another one."""
    return Call(
        network=network,
        args=args,
        kwargs=kwargs,
        rows=1,
        list_rows=None,
        leaves=(),
        signature=(network, size),
    )


@dataclass(slots=True)
class Merger:
    """Merges calls of equal signature, again and again.

    Most arguments, such as embeddings of texts, are the same tensors in each step. They
    are merged once.
    """

    _before: list[tuple[Any, ...]] = field(default_factory=list)
    _merged: list[Any] = field(default_factory=list)

    def merge(
        self, calls: Sequence[Call], device: torch.device
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Return the arguments of one call for all of these, row by row.

        Args:
            calls: Calls with equal signatures, one or more; a call may stand there
                several times.
            device: Where the network is.

        Returns:
            Positional arguments, and arguments by name. A tensor has
            `rows * len(calls)` rows, the first rows of all calls first.
        """
        first = calls[0]
        if len(calls) == 1:
            return first.args, first.kwargs
        columns = list(zip(*(call.leaves for call in calls), strict=True))
        if not self._before:
            self._before, self._merged = [()] * len(columns), [None] * len(columns)
        for place, column in enumerate(columns):
            if not _are_same(column, self._before[place]):
                self._merged[place] = _join(column, first.rows, device)
                self._before[place] = column
        args, kwargs = _rebuild(
            (first.args, first.kwargs), iter(self._merged), first.list_rows
        )
        return args, kwargs


def split(answer: Any, *, rows: int, count: int) -> Callable[[int], Any]:
    """Split a network's answer to merged calls.

    Args:
        answer: The answer: tensors, or lists of tensors, of `rows * count` rows.
        rows: Rows of each call.
        count: Number of calls that were merged.

    Returns:
        A function that returns the part of a call, as views of the answer.

    Raises:
        UnshareableError: Nothing in the answer has so many rows.
    """
    leaves: list[Any] = []
    _flatten(answer, leaves, rows * count)
    parts = [_parts(leaf, rows, count) for leaf in leaves]
    if not any(parts):
        msg = "the answer of its network has no rows"
        raise UnshareableError(msg)

    def part(index: int) -> Any:
        own = (
            each[index] if each else leaf
            for each, leaf in zip(parts, leaves, strict=True)
        )
        return _rebuild(answer, own, rows * count)

    return part


def _count_rows(values: Sequence[Any]) -> tuple[int, bool]:
    """Return the number of rows, and whether the network takes lists of rows.

    The main input is the first tensor with two or more dimensions, or the first list of
    tensors.
    """
    for value in values:
        if isinstance(value, torch.Tensor) and value.ndim >= _INPUT_DIMENSIONS:
            return len(value), False
        if isinstance(value, list) and value and _are_tensors(value):
            return len(value), True
    msg = "it passes no tensor with rows to its network"
    raise UnshareableError(msg)


def _flatten(value: Any, leaves: list[Any], rows: int | None) -> Hashable:
    """Collect the leaves of a value; return what must be equal to merge it.

    Args:
        value: A leaf, or dictionaries, tuples and lists of leaves.
        leaves: Where they are collected.
        rows: Length of a list of tensors that is a leaf; None if none is.
    """
    if isinstance(value, torch.Tensor):
        leaves.append(value)
        return (value.shape, _is_time(value) or value.dtype)
    if isinstance(value, dict):
        return tuple((k, _flatten(v, leaves, rows)) for k, v in value.items())
    if _is_rows(value, rows):
        leaves.append(value)
        return tuple((row.shape, row.dtype) for row in value)
    if isinstance(value, tuple | list):
        return tuple([_flatten(each, leaves, rows) for each in value])
    leaves.append(value)
    is_plain = value is None or isinstance(value, str | bool | int | float)
    return value if is_plain else repr(value)


def _rebuild(value: Any, leaves: Iterator[Any], rows: int | None) -> Any:
    """Return a value with other leaves; see `_flatten`."""
    if isinstance(value, dict):
        made = {k: _rebuild(v, leaves, rows) for k, v in value.items()}
        # An output class of diffusers is a dictionary, too.
        return made if type(value) is dict else type(value)(**made)
    if isinstance(value, tuple | list) and not _is_rows(value, rows):
        return type(value)([_rebuild(each, leaves, rows) for each in value])
    return next(leaves)


def _are_tensors(values: Sequence[Any]) -> bool:
    return all(isinstance(value, torch.Tensor) for value in values)


def _is_rows(value: Any, rows: int | None) -> bool:
    return isinstance(value, list) and len(value) == rows and _are_tensors(value)


def _is_time(leaf: torch.Tensor) -> bool:
    """Return whether a tensor is a timestep, which networks embed in float32.

    Schedulers have timesteps of several dtypes. They are merged as float32.
    """
    return leaf.ndim == 0 or (leaf.ndim == 1 and not leaf.is_floating_point())


def _are_same(column: Sequence[Any], before: Sequence[Any]) -> bool:
    return len(column) == len(before) and all(map(operator.is_, column, before))


def _join(column: Sequence[Any], rows: int, device: torch.device) -> Any:
    first = column[0]
    if isinstance(first, list):
        return [value[row] for row in range(rows) for value in column]
    if not isinstance(first, torch.Tensor):
        return first
    if first.ndim == 0:
        times = torch.stack([value.float() for value in column])
        return _on(device, times.repeat(rows))
    if len(first) != rows:
        return first
    joined = torch.stack(tuple(column), 1).flatten(0, 1)
    return _on(device, joined.float() if _is_time(first) else joined)


def _on(device: torch.device, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the device, without waiting for it."""
    if tensor.device == device:
        return tensor
    pinned = tensor.pin_memory() if device.type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


def _parts(leaf: Any, rows: int, count: int) -> Sequence[Any] | None:
    """Return the part of each call in a leaf of the answer; None if it has no rows."""
    if isinstance(leaf, list):
        return [leaf[index::count] for index in range(count)]
    if isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == rows * count:
        return torch.unflatten(leaf, 0, (rows, count)).unbind(1)
    return None
