"""A check that a pipeline reads the tensors that the slots write to.

The slots write the texts of a job into tensors that the pipeline was given, or that it
hands to its callback. A diffusers version that copies them would silently paint later
jobs with the first one's text. So each call of a pipeline is checked: the network must
receive the memory that the slots write to, and each step must continue from the latents
of the last.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import diffusers
import torch

#: Prefix of the diffusers versions that the engine was tested with. With any other, the
#: values are compared too; on a GPU, that waits for the device once a call.
TESTED = "0.42."


class UnsteerableError(Exception):
    """The pipeline copies what slots write to; its jobs must be painted one by one."""


class Steering:
    """Checks one call of a pipeline."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._given: set[int] | None = None
        self._latents: int | None = None
        self._is_checked = False

    @contextmanager
    def watching(self, network: Any) -> Iterator[None]:
        """Record the tensors of the network's first call in this block."""

        def see(_network: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
            hook.remove()
            self._given = {_memory(tensor) for tensor in _tensors(args, kwargs)}

        hook = network.register_forward_pre_hook(see, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def check_texts(
        self, filled: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
    ) -> None:
        """Check the embeddings, once, before anything is written to them.

        Args:
            filled: The tensors that the slots write to, by the name of the embedding.
            given: The pipeline's arguments, by the same names, and by `negative_` and
                the name if the batch is guided.

        Raises:
            UnsteerableError: The network reads other memory, or other values.
        """
        if self._is_checked:
            return
        self._is_checked = True
        for name, batch in filled.items():
            if self._given is None or _memory(batch) not in self._given:
                raise UnsteerableError
            if not diffusers.__version__.startswith(TESTED):
                halves = [given[n] for n in (f"negative_{name}", name) if n in given]
                if not torch.equal(batch, torch.cat(halves)):
                    raise UnsteerableError

    def check_latents(self, latents: torch.Tensor) -> None:
        """Check that a step begins with the latents of the step before.

        Raises:
            UnsteerableError: It begins with other memory.
        """
        if self._latents not in (None, _memory(latents)):
            raise UnsteerableError

    def leave(self, latents: torch.Tensor) -> None:
        """Note the latents that the next step must begin with."""
        self._latents = _memory(latents)


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(args: Any, kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments, and in dictionaries among them."""
    nested = [each.values() for each in kwargs.values() if isinstance(each, dict)]
    for values in (args, kwargs.values(), *nested):
        yield from (each for each in values if isinstance(each, torch.Tensor))
