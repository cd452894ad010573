"""The header of a GGUF file: which tensors it has, read without their data.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from storage.errors import ModelError
from storage.models.tensor_headers import Header, Shape, Tensor

_MAGIC = b"GGUF"
#: Versions whose numbers are of these sizes.
_VERSIONS = (2, 3)
#: More of anything than a file has; a larger count is damage.
_MOST = 10_000_000
#: Types of metadata that are one number each, as `struct` names them.
_NUMBERS = dict(zip([*range(8), 10, 11, 12], "BbHhIif?Qqd", strict=True))
_TEXT, _LIST = 8, 9
#: A tensor has no more sides; a larger count is damage.
_MOST_SIDES = 8
_ALIGNMENT = "general.alignment"
#: Types of tensors: name, numbers in a block, bytes of a block. diffusers has these.
TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    30: ("BF16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136),
}


def read_gguf_header(file: Path) -> Header:
    """Read the header of a GGUF file; of its metadata, the texts.

    Raises:
        ModelError: It is not a GGUF file, is cut off, or has a type of numbers that is
            not known here.
        OSError: It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            tensors, metadata = _Reader(stream).read()
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        msg = (
            f"{file} must be in GGUF format of version 2 or 3, but {error}; fetch it"
            " again, or name another file"
        )
        raise ModelError(msg) from error
    size = file.stat().st_size
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if end > size:
        msg = (
            f"{file} must have at least {end} bytes, as its header says, but has"
            f" {size}; fetch it again"
        )
        raise ModelError(msg)
    return Header(file=file, tensors=tensors, metadata=metadata)


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        if self._stream.read(4) != _MAGIC:
            msg = "it does not begin with GGUF"
            raise ValueError(msg)
        version = self._number("I")
        if version not in _VERSIONS:
            msg = f"it is of version {version}"
            raise ValueError(msg)
        tensors, entries = self._count(), self._count()
        metadata = dict(self._entries(entries))
        found = dict(self._tensor() for _ in range(tensors))
        alignment = int(metadata.get(_ALIGNMENT) or 32)
        begin = -(-self._stream.tell() // alignment) * alignment
        placed = {name: _place(begin, *each) for name, each in found.items()}
        texts = {name: each for name, each in metadata.items() if isinstance(each, str)}
        return placed, texts

    def _entries(self, count: int) -> Iterator[tuple[str, Any]]:
        for _ in range(count):
            name = self._text()
            yield name, self._value(self._number("I"))

    def _tensor(self) -> tuple[str, tuple[Shape, int, int]]:
        name, count = self._text(), self._number("I")
        if count > _MOST_SIDES:
            msg = f"it has a tensor of {count} sides"
            raise ValueError(msg)
        sides = [self._count() for _ in range(count)]
        # The side that varies fastest comes first.
        return name, (tuple(reversed(sides)), self._number("I"), self._number("Q"))

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            return self._number(_NUMBERS[kind])
        of, count = self._number("I"), self._count()
        return [self._value(of) for _ in range(count)]

    def _text(self) -> str:
        return self._bytes(self._count()).decode("utf-8")

    def _count(self) -> int:
        count = self._number("Q")
        if count > _MOST:
            msg = f"it counts {count} entries"
            raise ValueError(msg)
        return int(count)

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))[0]

    def _bytes(self, size: int) -> bytes:
        read = self._stream.read(size)
        if len(read) != size:
            msg = "it ends in its header"
            raise ValueError(msg)
        return read


def _place(begin: int, shape: Shape, kind: int, offset: int) -> Tensor:
    if kind not in TENSOR_TYPES:
        known = ", ".join(name for name, *_ in TENSOR_TYPES.values())
        msg = (
            f"tensors of a GGUF file must be of {known}, got the type {kind}; name a"
            " file of another quantisation"
        )
        raise ModelError(msg)
    name, numbers, size = TENSOR_TYPES[kind]
    start = begin + offset
    return Tensor(
        dtype=name,
        shape=shape,
        start=start,
        end=start + prod(shape) // numbers * size,
    )
