"""The header of a safetensors file: which tensors it has, without reading them."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from storage.errors import ModelError

#: Most bytes of a header, as the format has it.
MOST_BYTES = 100_000_000

#: The sizes of a tensor's dimensions.
Shape = tuple[int, ...]


def read_shapes(file: Path) -> Mapping[str, Shape]:
    """Return the shape of each tensor of a file, by name.

    Raises:
        ModelError: It cannot be read, or is not in safetensors.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, MOST_BYTES)))
        return {
            name: tuple(map(int, tensor["shape"]))
            for name, tensor in header.items()
            if name != "__metadata__"
        }
    except OSError as error:
        msg = f"{file} must be readable, got {error.strerror}; check its path and mode"
        raise ModelError(msg) from error
    except (ValueError, struct.error, TypeError, KeyError, AttributeError) as error:
        msg = f"{file} must be in safetensors, but has no such header; fetch it again"
        raise ModelError(msg) from error
