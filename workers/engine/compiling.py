"""Compiled networks: faster on a GPU, but they change the low bits of a picture."""

from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from workers.engine.starter import Starter
from workers.vitals import phases

#: Most shapes that a network is compiled for. Torch's default is 8; beyond its limit it
#: runs a network uncompiled.
MOST_SHAPES = 64


class Compiled:
    """The compiled networks of one pipeline.

    Strict jobs of the same pipeline run the networks uncompiled, so the compiled ones
    are in place only while batches run.
    """

    def __init__(self, starter: Starter) -> None:
        """Wrap the networks; the first call for each shape takes minutes to compile."""
        torch._dynamo.config.recompile_limit = MOST_SHAPES
        self._starter = starter
        self._own: dict[str, Any] = dict(starter.networks)
        self._networks: dict[str, Any] = {
            name: torch.compile(own, dynamic=False) for name, own in self._own.items()
        }
        self._seen: set[tuple[Hashable, int]] = set()
        self._is_new = False
        self._compilation = ExitStack()
        for network in self._networks.values():
            network.register_forward_pre_hook(self._begin)
            network.register_forward_hook(self._end, always_call=True)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have runs call them within the block, with weights in channels-last."""
        for own in self._own.values():
            own.to(memory_format=torch.channels_last)
        self._starter.networks.update(self._networks)
        try:
            yield
        finally:
            self._starter.networks.update(self._own)
            for own in self._own.values():
                own.to(memory_format=torch.contiguous_format)

    def note(self, signature: Hashable, width: int) -> bool:
        """Note a call; return whether a network will be compiled for it."""
        self._is_new = (signature, width) not in self._seen
        self._seen.add((signature, width))
        return self._is_new

    def _begin(self, *_args: object) -> None:
        if self._is_new:
            self._compilation.enter_context(phases.during(phases.COMPILING))

    def _end(self, *_args: object) -> None:
        self._is_new = False
        self._compilation.close()
