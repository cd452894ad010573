"""Calls of a network: which of them can be one call, and how they become one.

A call has one or more rows: with classifier-free guidance, most pipelines pass the
unconditional row and the conditional one together. Calls with equal signatures are
merged: the first rows of all calls, then their second rows, as an ordinary batch of
diffusers has them. The answer is split in the same order.
"""

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from workers.engine.call_values import (
    Rows,
    are_tensors,
    flatten,
    has_channels_last,
    is_number,
    rebuild,
)

#: Fewest dimensions of a network's main input.
_INPUT_DIMENSIONS = 2
#: How the names of networks begin whose answer another network takes in the same step,
#: so that a job has the same row in the calls of both.
PAIRED = "controlnet "
#: Dimensions of hidden states of many layers: layer, row, token, channel.
_LAYERS_DIMENSIONS = 4


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
        leaves: All values in the arguments, in a fixed order: tensors, lists of rows,
            and others.
        signature: Equal for calls that can be merged: the network, the image size, the
            structure of the arguments, shapes, dtypes and layouts, and all that is no
            tensor.
    """

    network: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    rows: Rows
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
    rows = _find_rows((*args, *kwargs.values()))
    leaves: list[Any] = []
    kind = flatten((args, kwargs), leaves, rows)
    return Call(
        network=network,
        args=args,
        kwargs=kwargs,
        rows=rows,
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
        rows=Rows(count=1),
        leaves=(),
        signature=(network, size),
    )


@dataclass(slots=True)
class Merger:
    """Merges calls of equal signature, again and again.

    Most arguments, such as embeddings of texts, are the same tensors in each step. They
    are merged once, unless they are changed in place.
    """

    _before: list[tuple[Sequence[Any], Sequence[int]]] = field(default_factory=list)
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
            self._before = [((), ())] * len(columns)
            self._merged = [None] * len(columns)
        for place, column in enumerate(columns):
            now = (column, _versions(column))
            if not _are_same(now, self._before[place]):
                self._merged[place] = _join(column, first.rows.count, device)
                self._before[place] = now
        args, kwargs = rebuild(
            (first.args, first.kwargs), iter(self._merged), first.rows
        )
        return args, kwargs


def split(answer: Any, *, rows: Rows, count: int) -> Callable[[int], Any]:
    """Split a network's answer to merged calls.

    Args:
        answer: The answer: tensors of the rows of all calls. If calls have their rows
            in lists, so has the answer. Other lists, such as the layers of a
            ControlNet, hold tensors with all rows.
        rows: Rows of each call.
        count: Number of calls that were merged.

    Returns:
        A function that returns the part of a call, as views of the answer.

    Raises:
        UnshareableError: Nothing in the answer has so many rows.
    """
    leaves: list[Any] = []
    whole = replace(rows, count=rows.count * count)
    flatten(answer, leaves, whole)
    parts = [_parts(leaf, rows.count, count) for leaf in leaves]
    if not any(parts):
        msg = "the answer of its network has no rows"
        raise UnshareableError(msg)

    def part(index: int) -> Any:
        own = (
            each[index] if each else leaf
            for each, leaf in zip(parts, leaves, strict=True)
        )
        return rebuild(answer, own, whole)

    return part


def _find_rows(values: Sequence[Any]) -> Rows:
    """Return the rows of a call.

    Its main input is the first tensor with two or more dimensions, or the first list of
    tensors.
    """
    for value in values:
        if isinstance(value, torch.Tensor) and value.ndim >= _INPUT_DIMENSIONS:
            return Rows(count=len(value))
        if isinstance(value, list) and value and are_tensors(value):
            return Rows(count=len(value), in_lists=True)
    msg = "it passes no tensor with rows to its network"
    raise UnshareableError(msg)


def _versions(column: Sequence[Any]) -> Sequence[int]:
    """Return numbers that grow if tensors are changed in place; none for others."""
    return [leaf._version for leaf in column if isinstance(leaf, torch.Tensor)]


def _are_same(
    now: tuple[Sequence[Any], Sequence[int]],
    before: tuple[Sequence[Any], Sequence[int]],
) -> bool:
    """Return whether a column has the same tensors, unchanged."""
    (column, versions), (old, old_versions) = now, before
    is_tensor = len(versions) == len(column) == len(old)
    return (
        is_tensor and versions == old_versions and all(map(operator.is_, column, old))
    )


def _join(column: Sequence[Any], rows: int, device: torch.device) -> Any:
    first = column[0]
    if isinstance(first, list):
        return [value[row] for row in range(rows) for value in column]
    if not isinstance(first, torch.Tensor):
        return first
    if first.ndim == 0:
        times = torch.stack([value.float() for value in column])
        return _on(device, times.repeat(rows))
    place = _place_of_rows(first, rows)
    if place is None:
        return _shared(column)
    joined = torch.stack(tuple(column), place + 1).flatten(place, place + 1)
    if has_channels_last(first):  # as `torch.cat` has it, which ordinary batches call
        joined = joined.contiguous(memory_format=torch.channels_last)
    return _on(device, joined)


def _shared(column: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return a tensor without rows, which all calls have in common.

    Raises:
        UnshareableError: It is a timestep of each call, which differs.
    """
    first = column[0]
    is_known = is_number(first) and first.device.type == "cpu"
    if is_known and not all(torch.equal(first, value) for value in column):
        msg = "it passes a timestep for all rows, which differs from job to job"
        raise UnshareableError(msg)
    return first


def _place_of_rows(tensor: torch.Tensor, rows: int) -> int | None:
    """Return the dimension of a tensor's rows; None if it has none.

    Hidden states of many layers have the layers first, and then the rows.
    """
    if len(tensor) == rows:
        return 0
    has_layers = tensor.ndim >= _LAYERS_DIMENSIONS and tensor.shape[1] == rows
    return 1 if has_layers else None


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
