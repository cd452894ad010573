"""The header of a safetensors file: which tensors it has, read without their data."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import ModelError

#: What the format allows; a longer header is damage.
_LONGEST = 100_000_000
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}

#: The sizes of a tensor's dimensions.
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        dtype: As the format names it: `F16`, `BF16`, `F32`, …; in GGUF `Q4_0`, too.
        shape: The sizes of its dimensions.
        start: First byte, from the start of the file.
        end: The byte after its last.
    """

    dtype: str
    shape: Shape
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a safetensors or GGUF file says of itself.

    Attributes:
        file: The file.
        tensors: Name to tensor.
        metadata: Texts that the program which wrote it added.
    """

    file: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def has(self, *prefixes: str) -> bool:
        """Return whether the name of a tensor begins with one of the prefixes."""
        return any(name.startswith(prefixes) for name in self.tensors)

    def side(self, name: str, axis: int) -> int | None:
        """Return one side of a tensor; None if there is no such tensor or side."""
        tensor = self.tensors.get(name)
        if tensor is None or not -len(tensor.shape) <= axis < len(tensor.shape):
            return None
        return tensor.shape[axis]

    def deviation(self, name: str) -> float | None:
        """Return the standard deviation of a small tensor's numbers.

        None if the file has no such tensor, or not as floats.

        Raises:
            OSError: The file cannot be read.
        """
        # Imported here: most commands read no tensor.
        import numpy as np

        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        with self.file.open("rb") as stream:
            stream.seek(tensor.start)
            data = stream.read(tensor.end - tensor.start)
        if tensor.dtype == "BF16":
            # A bfloat16 is the upper half of a float32.
            numbers = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        elif tensor.dtype in _FLOATS:
            numbers = np.frombuffer(data, _FLOATS[tensor.dtype])
        else:
            return None
        return float(np.std(numbers.astype(np.float64)))


def read_header(file: Path) -> Header:
    """Read the header of a safetensors file.

    Raises:
        ModelError: It is not a safetensors file, or is cut off.
        OSError: It cannot be read.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(8)
        length = struct.unpack("<Q", begin)[0] if len(begin) == 8 else 0
        text = stream.read(length) if 0 < length <= min(size, _LONGEST) else b""
    try:
        entries = json.loads(text.decode("utf-8"))
        metadata = entries.pop("__metadata__", None) or {}
        tensors = {
            name: _read_tensor(entry, 8 + length) for name, entry in entries.items()
        }
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        msg = (
            f"{file} must be in safetensors format, but has no such header; fetch it"
            " again, or name another file"
        )
        raise ModelError(msg) from error
    end = max((tensor.end for tensor in tensors.values()), default=8 + length)
    if end != size:
        msg = (
            f"{file} must have {end} bytes, as its header says, but has {size}; fetch"
            " it again"
        )
        raise ModelError(msg)
    return Header(file=file, tensors=tensors, metadata=metadata)


def read_shapes(file: Path) -> Mapping[str, Shape]:
    """Return the shape of each tensor of a file, by name.

    Raises:
        ModelError: It cannot be read, is not in safetensors, or is cut off.
    """
    try:
        header = read_header(file)
    except OSError as error:
        msg = f"{file} must be readable, got {error.strerror}; check its path and mode"
        raise ModelError(msg) from error
    return {name: tensor.shape for name, tensor in header.tensors.items()}


def _read_tensor(entry: Mapping[str, Any], offset: int) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(
        dtype=str(entry["dtype"]),
        shape=tuple(int(side) for side in entry["shape"]),
        start=offset + int(start),
        end=offset + int(end),
    )
