"""The first noise of a job with `generator: numpy`, the same on every back end."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def draw(seed: int, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the standard normal noise of a job, which depends on nothing else.

    Args:
        seed: The job's seed.
        shape: (1, channels, height, width) of its latents.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.standard_normal(tuple(shape), dtype=np.float32)
