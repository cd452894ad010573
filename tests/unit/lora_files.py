"""LoRA files with random weights, in the layouts that people share."""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

#: Layer to its outputs and inputs.
Sizes = Mapping[str, tuple[int, int]]
Tensors = dict[str, np.ndarray]


def write_tensors(
    file: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a safetensors file, without torch."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    blob, begin = b"", 0
    for name, tensor in tensors.items():
        data = tensor.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + len(data)],
        }
        begin += len(data)
        blob += data
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + blob)
    return file


def kohya(sizes: Sizes, *, prefix: str, seed: int = 0, rank: int = 2) -> Tensors:
    """Return tensors as kohya's trainer names them."""
    found: Tensors = {}
    for layer, (down, up) in _weights(sizes, seed, rank):
        stem = prefix + layer.replace(".", "_")
        found[f"{stem}.lora_down.weight"] = down
        found[f"{stem}.lora_up.weight"] = up
        found[f"{stem}.alpha"] = np.array(rank / 2)
    return found


def peft(sizes: Sizes, *, prefix: str, seed: int = 0, rank: int = 2) -> Tensors:
    """Return tensors as peft and diffusers name them."""
    found: Tensors = {}
    for layer, (down, up) in _weights(sizes, seed, rank):
        found[f"{prefix}{layer}.lora_A.weight"] = down
        found[f"{prefix}{layer}.lora_B.weight"] = up
    return found


def lokr(sizes: Sizes, *, prefix: str, alpha: bool = False, seed: int = 0) -> Tensors:
    """Return tensors of a LoKr, for layers whose sides can be divided by 4."""
    draw = np.random.default_rng(seed)
    found: Tensors = {}
    for layer, (outputs, inputs) in sizes.items():
        stem = f"{prefix}{layer}"
        found[f"{stem}.lokr_w1"] = draw.standard_normal((4, 4)) * 0.3
        found[f"{stem}.lokr_w2_a"] = draw.standard_normal((outputs // 4, 2)) * 0.3
        found[f"{stem}.lokr_w2_b"] = draw.standard_normal((2, inputs // 4)) * 0.3
        if alpha:
            found[f"{stem}.alpha"] = np.array(1.0)
    return found


def _weights(
    sizes: Sizes, seed: int, rank: int
) -> Iterable[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    draw = np.random.default_rng(seed)
    for layer, (outputs, inputs) in sizes.items():
        down = draw.standard_normal((rank, inputs)) * 0.3
        yield layer, (down, draw.standard_normal((outputs, rank)) * 0.3)
