"""Distances of pixels between an image and its reference, in numpy and scipy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from storage.errors import ScoreError
from workers.metrics.metric import BuiltinMetric, Sample

Values = NDArray[np.float64]

#: The window of Wang et al. 2004: 11 pixels of a Gaussian, with this deviation.
SIGMA_PX = 1.5
RADIUS_PX = 5
#: K1 and K2 of the same paper, squared, for values of 0 to 1.
C1, C2 = 0.01**2, 0.03**2
#: Decibels of equal images, whose PSNR would be infinite.
MOST_DB = 100.0


class Rmse(BuiltinMetric, name="rmse"):
    """Root of the mean squared difference of all values, 0 to 1."""

    batch_size = 16

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return 0 for equal images, 1 for black against white."""
        return [float(np.sqrt(_mean_square(each))) for each in samples]


class Psnr(BuiltinMetric, name="psnr"):
    """Peak signal-to-noise ratio in decibels: another unit for `Rmse`."""

    batch_size = 16

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return 0 for black against white, and at most `MOST_DB`."""
        return [_decibels(_mean_square(each)) for each in samples]


class Ssim(BuiltinMetric, name="ssim"):
    """1 - SSIM (Wang et al. 2004), the mean over the three channels."""

    batch_size = 16

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return 0 for equal images, at most 2."""
        return [1.0 - _similarity(*_values(each)) for each in samples]


def _values(sample: Sample) -> tuple[Values, Values]:
    """Return image and reference: (height, width, 3), 0 to 1."""
    image, reference = sample.image, sample.reference
    if reference is None or image.shape != reference.shape:
        shape = () if reference is None else reference.shape
        msg = (
            "image and reference must have the same size, but the image"
            f" {sample.key} has {_size(image.shape)} and its reference {_size(shape)}"
            " pixels; choose a reference of the same size"
        )
        raise ScoreError(msg)
    return image / 255.0, reference / 255.0


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape[1::-1]) or "no"


def _mean_square(sample: Sample) -> float:
    image, reference = _values(sample)
    return float(np.square(image - reference).mean())


def _decibels(mean_square: float) -> float:
    if mean_square == 0:
        return MOST_DB
    return min(MOST_DB, float(-10 * np.log10(mean_square)))


def _similarity(image: Values, reference: Values) -> float:
    """Return the mean SSIM, Wang et al. 2004, equation 13, of windows that fit.

    Along a side that is shorter than the window, the image is mirrored at its edges.
    """
    mean_a, mean_b = _blur(image), _blur(reference)
    var_a = _blur(image * image) - mean_a * mean_a
    var_b = _blur(reference * reference) - mean_b * mean_b
    covariance = _blur(image * reference) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    similarity /= (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    return float(similarity[_inside(image.shape)].mean())


def _blur(values: Values) -> Values:
    offsets = np.arange(-RADIUS_PX, RADIUS_PX + 1)
    weights = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    weights /= weights.sum()
    across: Values = correlate1d(values, weights, axis=0, mode="reflect")
    blurred: Values = correlate1d(across, weights, axis=1, mode="reflect")
    return blurred


def _inside(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return where the whole window lies in the image, or all of a short side."""
    fits = slice(RADIUS_PX, -RADIUS_PX)
    return tuple(fits if side > 2 * RADIUS_PX else slice(None) for side in shape[:2])
