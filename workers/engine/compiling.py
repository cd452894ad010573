"""The compiled network: faster on a GPU, but it changes the low bits of a picture."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch

from storage.job import Job
from workers.engine.families import StableDiffusion
from workers.vitals import phases

#: Most shapes that a network is compiled for. Torch's default is 8; beyond its limit it
#: runs a network uncompiled.
MOST_SHAPES = 64


class Compiled:
    """The compiled network of one pipeline.

    Strict jobs of the same pipeline run the network uncompiled, so the compiled one is
    in place only while slots run.
    """

    def __init__(self, family: StableDiffusion) -> None:
        """Wrap the network; its first call for each shape takes minutes to compile."""
        torch._dynamo.config.recompile_limit = MOST_SHAPES
        self._family = family
        self._own = family.denoiser
        self._network = cast(Any, torch.compile(self._own, dynamic=False))
        self._seen: set[tuple[int, int, int, bool]] = set()
        self._is_new = False
        self._compilation = ExitStack()
        self._network.register_forward_pre_hook(self._begin)
        self._network.register_forward_hook(self._end, always_call=True)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the pipeline call it within the block, with weights in channels-last."""
        family = self._family
        self._own.to(memory_format=torch.channels_last)
        setattr(family.pipe, family.denoiser_name, self._network)
        try:
            yield
        finally:
            setattr(family.pipe, family.denoiser_name, self._own)
            self._own.to(memory_format=torch.contiguous_format)

    def note(self, job: Job, width: int) -> bool:
        """Note a batch; return whether its shape is new, and so will be compiled."""
        shape = (width, job.width, job.height, self._family.is_guided(job))
        self._is_new = shape not in self._seen
        self._seen.add(shape)
        return self._is_new

    def _begin(self, *_args: object) -> None:
        if self._is_new:
            self._compilation.enter_context(phases.during(phases.COMPILING))

    def _end(self, *_args: object) -> None:
        self._is_new = False
        self._compilation.close()
