"""Images to be scored."""

from typing import Any

import numpy as np
from PIL.Image import Image

from workers.metrics.metric import Sample


def make_sample(**changes: Any) -> Sample:
    """Return a sample of noise with a prompt, and a reference of other noise."""
    rng = np.random.default_rng(8)
    given: dict[str, Any] = {
        "image": make_noise(rng),
        "prompt": "a red circle on a blue background",
        "parameters": {"key": "a" * 32},
        "reference": make_noise(rng),
    }
    return Sample(**given | changes)


def make_noise(
    rng: np.random.Generator, *, width: int = 24, height: int = 20
) -> "np.ndarray":
    """Return an image of noise: (height, width, 3), uint8."""
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels_of(image: Image) -> "np.ndarray":
    """Return an image as metrics get it."""
    return np.asarray(image.convert("RGB"))
