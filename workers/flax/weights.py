"""Weights of a safetensors file under the names that Flax's modules have for them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import ModelError

Array = npt.NDArray[Any]
#: Names of folders and of a leaf: ("down_blocks_0", "resnets_1", "conv1", "kernel").
Path = tuple[str, ...]

#: What Flax may call a weight, by what torch calls it.
_LEAVES = {"weight": ("kernel", "scale", "embedding"), "bias": ("bias",)}
#: Layers of attention in the decoder, by their present names in torch.
_ATTENTION = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out_0": "proj_attn",
}
#: Positions 0, 1, 2 and so on, which old text encoders store.
_BUFFER = "position_ids"


def convert(
    weights: Mapping[str, Array], wanted: Mapping[Path, Any]
) -> dict[Path, Array]:
    """Return weights by Flax's paths, in Flax's layout.

    Args:
        weights: Name in torch to array, as safetensors has them.
        wanted: The paths of the network; a weight that has none keeps its name.
    """
    found: dict[Path, Array] = {}
    for key, value in weights.items():
        if not key.endswith(_BUFFER):
            paths = (path for path in _paths(key) if path in wanted)
            path = next(paths, tuple(key.split(".")))
            found[path] = _laid_out(value, path)
    return found


def require_equal(
    found: Mapping[Path, Array], wanted: Mapping[Path, Any], *, name: str
) -> None:
    """Check that weights are those of a network: each, no other, and their shapes.

    Args:
        found: The weights.
        wanted: The paths of the network; each value has a `shape`.
        name: The network, for the message.

    Raises:
        ModelError: They are not.
    """
    missing = wanted.keys() - found.keys()
    unknown = found.keys() - wanted.keys()
    both = wanted.keys() & found.keys()
    misshapen = {path for path in both if found[path].shape != wanted[path].shape}
    for what, paths in (
        ("it also needs", missing),
        ("it does not have", unknown),
        ("it has in another shape", misshapen),
    ):
        if paths:
            msg = (
                f"the weights of {name} must be those of Flax's network, but {what} "
                f"{len(paths)}, such as {'.'.join(min(paths))}; use `backend: torch`"
            )
            raise ModelError(msg)


def _paths(key: str) -> Iterator[Path]:
    """Yield the paths that a weight may have in Flax, by its name in torch."""
    *names, kind = key.split(".")
    joined = _join_numbers(names)
    renamed = tuple(_ATTENTION.get(name, name) for name in joined)
    for folders in (joined, renamed, tuple(names), ("text_model", *names)):
        for leaf in _LEAVES.get(kind, ()):
            yield (*folders, leaf)


def _join_numbers(names: list[str]) -> Path:
    """Return names with each number joined to the name before it: `resnets_0`."""
    joined: list[str] = []
    for name in names:
        if name.isdigit() and joined:
            joined[-1] += f"_{name}"
        else:
            joined.append(name)
    return tuple(joined)


def _laid_out(value: Array, path: Path) -> Array:
    """Return a weight with its input channels before its output channels, as in Flax.

    (out, in, height, width) becomes (height, width, in, out), and (out, in) (in, out).
    """
    if path[-1] != "kernel":
        return value
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else np.transpose(value)
