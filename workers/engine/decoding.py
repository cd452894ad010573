"""Decoding of one job's latents to pixels, without waiting for the device."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image

from storage.errors import NonFiniteError
from storage.job import Job
from workers.engine.clock import Clock, Moment
from workers.engine.families import StableDiffusion

NON_FINITE = (
    "pixels must be finite numbers, but this combination of model, dtype, scheduler "
    "and options gives NaN or infinity; change one of them (bfloat16 or float32 often "
    "helps where float16 overflows)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Pixels on their way to the CPU.

    Attributes:
        pixels: (1, 3, height, width), 0 to 1, in the decoder's dtype, on the CPU;
            complete after `arrived`.
        is_finite: Whether all were finite before they were clamped to 0 to 1; a bool
            tensor without dimensions, on the CPU; complete after `arrived`.
        began: The moment before the decoder ran.
        ended: The moment after it ran.
        arrived: The moment when both tensors are on the CPU.
    """

    pixels: torch.Tensor
    is_finite: torch.Tensor
    began: Moment
    ended: Moment
    arrived: Moment

    def image(self, pipe: Any, clock: Clock) -> Image:
        """Wait for the pixels and return the picture, RGB.

        Raises:
            NonFiniteError: A pixel is NaN or infinite.
        """
        clock.wait(self.arrived)
        if not self.is_finite.item():
            raise NonFiniteError(NON_FINITE)
        numbers = self.pixels.permute(0, 2, 3, 1).float().numpy()
        images: list[Image] = pipe.numpy_to_pil(numbers)
        return images[0]


def decode(
    family: StableDiffusion, latents: torch.Tensor, job: Job, *, clock: Clock
) -> Decoded:
    """Start to decode one job's latents, (1, ...), on the device, alone.

    In a batch, the last bits would depend on the neighbours.
    """
    began = clock.now()
    decoded = family.decode(latents, job)
    pixels = family.pipe.image_processor.denormalize(decoded)
    is_finite = torch.isfinite(decoded).all()
    ended = clock.now()
    return Decoded(
        pixels=pixels.to("cpu", non_blocking=True),
        is_finite=is_finite.to("cpu", non_blocking=True),
        began=began,
        ended=ended,
        arrived=clock.now(),
    )
