"""The text encoders of a pipeline, which may leave the device while they do nothing."""

import functools
from collections.abc import Callable
from typing import Any

import torch


class TextEncoders:
    """The text encoders of one pipeline.

    They are on the device until memory is short. Then their weights are kept in the
    machine's memory, and are copied to the device for each text that is encoded: there
    the embeddings stay the same bit for bit.
    """

    def __init__(self, pipe: Any, device: torch.device) -> None:
        """Set the pipeline, and the device that it is on."""
        self._device = device
        self._parts = [
            part
            for name, part in pipe.components.items()
            if name.startswith("text_encoder") and isinstance(part, torch.nn.Module)
        ]
        #: Each weight with its copy in the machine's memory, once they have left.
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def leave(self) -> bool:
        """Have them leave the device; return whether there was anything to leave."""
        if self._kept:
            return False
        self._kept = [
            (weight, weight.data.to("cpu", copy=True))
            for part in self._parts
            for weight in (*part.parameters(), *part.buffers())
        ]
        self._take_away()
        return bool(self._kept)

    def come_back(self) -> None:
        """Have them return to the device, if they have left it."""
        for weight, kept in self._kept:
            weight.data = kept.to(self._device, copy=True)
        self._kept = []

    def on_device(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that encodes texts with the encoders on the device."""

        @functools.wraps(encode)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                for weight, kept in self._kept:
                    weight.data = kept.to(self._device, copy=True)
                return encode(*args, **kwargs)
            finally:
                self._take_away()

        return wrapped

    def _take_away(self) -> None:
        for weight, kept in self._kept:
            weight.data = kept
