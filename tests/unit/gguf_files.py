"""GGUF files without numbers of worth, for tests of their headers."""

import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path

#: Of a tensor: the number of its type, numbers in a block, bytes of a block.
F32, F16, Q8_0 = (0, 1, 4), (1, 1, 2), (8, 32, 34)
_ALIGNMENT = 32

Kind = tuple[int, int, int]


def write_gguf(
    file: Path,
    tensors: Mapping[str, tuple[Kind, tuple[int, ...]]],
    *,
    version: int = 3,
    list_name: str = "some.list",
) -> Path:
    """Write a file whose tensors are zeros.

    Args:
        file: Where to.
        tensors: Name to type and shape, in the order of torch.
        version: Of the format.
        list_name: Name of a list in the metadata.
    """
    entries = _text("general.architecture") + struct.pack("<I", 8) + _text("flux")
    # A list of two numbers, as tokenizers are stored.
    entries += _text(list_name) + struct.pack("<IIQ2H", 9, 2, 2, 7, 8)
    described, data = b"", b""
    for name, ((kind, numbers, size), shape) in tensors.items():
        sides = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        described += _text(name) + sides + struct.pack("<IQ", kind, len(data))
        data += _filled(bytes(prod(shape) // numbers * size))
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), 2)
    file.write_bytes(_filled(header + entries + described) + data)
    return file


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
