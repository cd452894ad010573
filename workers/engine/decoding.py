"""Pixels of one job on their way to the CPU, without waiting for the device."""

from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image

from storage.errors import NonFiniteError
from workers.engine.clock import Clock, Moment
from workers.engine.runs import Run
from workers.painting import NON_FINITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Pixels on their way to the CPU.

    Attributes:
        pixels: (1, 3, height, width), 0 to 1, in the decoder's dtype, on the CPU;
            complete after `arrived`.
        is_finite: Whether all were finite before they were clamped to 0 to 1; a bool
            tensor without dimensions, on the CPU; complete after `arrived`.
        arrived: The moment when both tensors are on the CPU.
    """

    pixels: torch.Tensor
    is_finite: torch.Tensor
    arrived: Moment

    def image(self, clock: Clock) -> Image:
        """Wait for the pixels and return the picture, RGB.

        Raises:
            NonFiniteError: A pixel is NaN or infinite.
        """
        clock.wait(self.arrived)
        if not self.is_finite.item():
            raise NonFiniteError(NON_FINITE)
        numbers = self.pixels.permute(0, 2, 3, 1).float().numpy()
        images: list[Image] = DiffusionPipeline.numpy_to_pil(numbers)
        return images[0]


def fetch(run: Run) -> Fetched:
    """Start to copy the pixels of a run that has ended to the CPU."""
    pixels = run.result
    is_finite = torch.isfinite(pixels).all()
    if run.finite is not None:
        is_finite &= run.finite
    return Fetched(
        pixels=pixels.to("cpu", non_blocking=True),
        is_finite=is_finite.to("cpu", non_blocking=True),
        arrived=run.clock.now(),
    )
