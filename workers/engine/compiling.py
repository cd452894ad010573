"""Compiled networks: faster on a GPU, but they change the low bits of a picture."""

import time
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch._dynamo
import torch._inductor.config
from diffusers.models.autoencoders.vae import Decoder
from torch.utils import _pytree as pytree

from workers.engine.starter import DECODERS, Starter
from workers.vitals import phases

#: Most shapes that a network is compiled for. Torch's default is 8; beyond its limit it
#: runs a network uncompiled.
MOST_SHAPES = 64

#: How results say that their networks were compiled.
DETAIL = "torch.compile, deterministic"


class UncompilableError(Exception):
    """A network cannot be compiled on this machine."""


def is_of_compiler(error: BaseException) -> bool:
    """Return whether an error is that of the compiler, and not of a network."""
    return isinstance(error, torch._dynamo.exc.TorchDynamoException)


class Compiled:
    """The compiled networks of one pipeline, and its decoder.

    Strict jobs of the same pipeline run the networks uncompiled, so the compiled ones
    are in place only while batches run.

    Attributes:
        count: How often one was compiled so far: once for each shape of its inputs.
        seconds: Seconds that took, with the first call of each shape.
    """

    def __init__(self, starter: Starter) -> None:
        """Wrap the networks; the first call for each shape takes minutes to compile."""
        torch._dynamo.config.recompile_limit = MOST_SHAPES
        # By default a kernel is chosen by the time it takes, so the next process may
        # choose one that adds in another order.
        torch._inductor.config.deterministic = True
        self.count = 0
        self.seconds = 0.0
        self._networks = starter.networks
        self._own: dict[str, Any] = {}
        self._compiled: dict[str, Any] = {}
        #: Each autoencoder with its decoder, and that one compiled.
        self._decoders = [
            (autoencoder, own, self._wrap(own))
            for name in DECODERS
            if (autoencoder := getattr(starter.pipe, name, None))
            # Those of videos keep state from frame to frame, so they are left alone.
            and isinstance(own := getattr(autoencoder, "decoder", None), Decoder)
        ]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have runs call them within the block.

        Within it, weights of the decoder are in channels-last, which makes compiled
        convolutions of one image twice as fast. Networks gain nothing from it.
        """
        for autoencoder, own, compiled in self._decoders:
            own.to(memory_format=torch.channels_last)
            autoencoder.decoder = compiled
        self._wrap_networks()
        self._networks.update(self._compiled)
        try:
            yield
        finally:
            for name in self._networks:  # a ControlNet may have gone meanwhile
                self._networks[name] = self._own[name]
            for autoencoder, own, _ in self._decoders:
                autoencoder.decoder = own
                own.to(memory_format=torch.contiguous_format)

    def _wrap_networks(self) -> None:
        """Wrap the networks that are there now: ControlNets come and go."""
        self._compiled = {
            name: self._compiled[name]
            if self._own.get(name) is own
            else self._wrap(own)
            for name, own in self._networks.items()
        }
        self._own = dict(self._networks)

    def _wrap(self, network: Any) -> Any:
        compiled: Any = torch.compile(network, dynamic=False)
        first_calls = _FirstCalls(self)
        compiled.register_forward_pre_hook(first_calls.begin, with_kwargs=True)
        compiled.register_forward_hook(first_calls.end, always_call=True)
        return compiled


class _FirstCalls:
    """Notes the calls of one network for which it is compiled."""

    def __init__(self, compiled: Compiled) -> None:
        """Set where they are counted."""
        self._compiled = compiled
        self._seen: set[Hashable] = set()
        self._compilation = ExitStack()

    def begin(self, _network: object, args: Any, kwargs: Any) -> None:
        """Begin a compilation if no call had inputs like these."""
        kinds = tuple(map(_kind, pytree.tree_leaves((args, kwargs))))
        if kinds not in self._seen:
            self._seen.add(kinds)
            self._compilation.enter_context(phases.during(phases.COMPILING))
            self._compilation.callback(self._count, time.perf_counter())

    def end(self, *_args: object) -> None:
        """End it."""
        self._compilation.close()

    def _count(self, began: float) -> None:
        self._compiled.count += 1
        self._compiled.seconds += time.perf_counter() - began


def _kind(leaf: Any) -> Hashable:
    """Return what a network is compiled for, of one of its inputs."""
    return (leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else repr(leaf)
