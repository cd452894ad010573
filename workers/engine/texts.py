"""Embeddings of texts; each pair of prompt and negative prompt is encoded once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from workers.devices.memory import total_bytes

#: Share of the device's memory that the texts of one model may take. A text of Stable
#: Diffusion takes 0.1 MB, one of Flux 4 MB.
SHARE = 1 / 64
#: Arguments that are equal if their `repr` is. Answers to others are not kept.
_PLAIN = (str, bool, int, float, torch.device, torch.dtype)


class TextCache:
    """The answers of a pipeline's `encode_prompt` to its most recent questions.

    It encodes each text alone, so a job's embeddings do not depend on other jobs.
    """

    def __init__(
        self,
        encode: Callable[..., Any],
        *,
        device: torch.device,
        most_bytes: int | None = None,
    ) -> None:
        """Begin empty.

        Args:
            encode: The pipeline's own `encode_prompt`.
            device: Where its answers are.
            most_bytes: Most bytes of all answers; None for `SHARE` of the memory.
        """
        self._encode = encode
        self._state = ""
        if most_bytes is None:
            most_bytes = int(SHARE * total_bytes(str(device)))
        self._most = most_bytes
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0

    def distinguish(self, state: str) -> None:
        """Set what else the answers depend on: equal states have equal answers."""
        self._state = state

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `encode_prompt` returns for these arguments."""
        leaves = pytree.tree_leaves((args, kwargs))
        if not all(leaf is None or isinstance(leaf, _PLAIN) for leaf in leaves):
            return self._encode(*args, **kwargs)
        asked = repr((args, sorted(kwargs.items()), self._state))
        if asked not in self._known:
            self._known[asked] = self._encode(*args, **kwargs)
            self._bytes += _size(self._known[asked])
        self._known.move_to_end(asked)
        # Not the containers themselves, to which a pipeline may append.
        known = pytree.tree_map(lambda leaf: leaf, self._known[asked])
        while self._bytes > self._most:
            _, gone = self._known.popitem(last=False)
            self._bytes -= _size(gone)
        return known

    def forget_all_but(self, prompts: Iterable[str]) -> bool:
        """Drop the answers without these prompts; return whether there were any."""
        kept = [repr(prompt) for prompt in prompts]
        gone = [
            asked
            for asked in self._known
            if not any(prompt in asked for prompt in kept)
        ]
        for asked in gone:
            self._bytes -= _size(self._known.pop(asked))
        return bool(gone)


def _size(answer: Any) -> int:
    # Of their storages: a text may be a view of a larger tensor.
    return sum(
        leaf.untyped_storage().nbytes()
        for leaf in pytree.tree_leaves(answer)
        if isinstance(leaf, torch.Tensor)
    )
