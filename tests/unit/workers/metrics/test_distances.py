"""Distances of pixels, against their formulas written out and against known values."""

import numpy as np
import pytest

from storage.errors import ScoreError
from storage.metrics.kinds import KINDS
from tests.samples import make_noise, make_sample
from workers.metrics.distances import Psnr, Rmse, Ssim
from workers.metrics.metric import Metric
from workers.metrics.registry import load

METRICS: list[Metric] = [
    load(name, model="", device="cpu") for name in ("rmse", "psnr", "ssim")
]
#: The window of Wang et al. 2004: 11 x 11, a Gaussian of deviation 1.5, with the sum 1.
OFFSETS = np.arange(-5, 6)
GAUSSIAN = np.exp(-(OFFSETS[:, None] ** 2 + OFFSETS[None] ** 2) / (2 * 1.5**2))
WINDOW = GAUSSIAN / GAUSSIAN.sum()


def score(metric: Metric, image: np.ndarray, reference: np.ndarray) -> float:
    return metric.score([make_sample(image=image, reference=reference)])[0]


def flat(value: int, *, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def ssim_of_windows(a: np.ndarray, b: np.ndarray) -> float:
    """Average equation 13 of Wang et al. 2004 over windows, one after the other."""
    values = []
    for channel in range(3):
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                place = (slice(top, top + 11), slice(left, left + 11), channel)
                values.append(ssim_of_window(a[place] / 1.0, b[place] / 1.0))
    return float(np.mean(values))


def ssim_of_window(a: np.ndarray, b: np.ndarray) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = (WINDOW * a).sum(), (WINDOW * b).sum()
    var_a = (WINDOW * (a - mean_a) ** 2).sum()
    var_b = (WINDOW * (b - mean_b) ** 2).sum()
    both = (WINDOW * (a - mean_a) * (b - mean_b)).sum()
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))


def test_a_metric_is_what_its_row_says() -> None:
    for metric, kind in zip(METRICS, (Rmse, Psnr, Ssim), strict=True):
        row = KINDS[metric.name]
        assert type(metric) is kind
        assert (metric.version, metric.needs_reference) == (row.version, True)
        assert metric.higher_is_better == row.higher_is_better


def test_equal_images_have_no_distance_and_a_psnr_that_json_can_hold() -> None:
    image = make_noise(np.random.default_rng(1))
    assert [score(metric, image, image) for metric in METRICS] == [0.0, 100.0, 0.0]


def test_black_is_as_far_from_white_as_can_be() -> None:
    assert score(Rmse(), flat(0), flat(255)) == 1.0
    assert score(Psnr(), flat(0), flat(255)) == 0.0
    # The means share nothing but the constant; the variances are equal.
    assert score(Ssim(), flat(0), flat(255)) == pytest.approx(1 - 1e-4, abs=1e-7)


def test_rmse_and_psnr_are_those_of_a_known_difference() -> None:
    image, reference = flat(100), flat(100)
    image[:, :8] = 151  # a fifth of the range, in half of the pixels
    assert score(Rmse(), image, reference) == pytest.approx(0.2 / np.sqrt(2))
    assert score(Psnr(), image, reference) == pytest.approx(-10 * np.log10(0.02))


def test_a_psnr_above_the_cap_is_the_cap() -> None:
    image, reference = flat(100, side=512), flat(100, side=512)
    image[0, 0, 0] = 101  # one value of 786,432
    assert score(Psnr(), image, reference) == 100.0
    assert score(Rmse(), image, reference) > 0


@pytest.mark.parametrize("noise", [4, 40, 160])
def test_ssim_is_the_mean_over_all_windows_that_fit(noise: int) -> None:
    rng = np.random.default_rng(noise)
    image = make_noise(rng, width=17, height=14)
    shift = rng.integers(-noise, noise + 1, image.shape)
    reference = np.clip(image + shift, 0, 255).astype(np.uint8)
    expected = 1 - ssim_of_windows(image, reference)
    assert score(Ssim(), image, reference) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_an_image_smaller_than_the_window_mirrors_its_edges() -> None:
    rng = np.random.default_rng(3)
    image, reference = (make_noise(rng, width=6, height=20) for _ in range(2))
    wide = [
        np.pad(each, ((0, 0), (5, 5), (0, 0)), "symmetric")
        for each in (image, reference)
    ]
    expected = 1 - ssim_of_windows(*wide)
    assert score(Ssim(), image, reference) == pytest.approx(expected, abs=1e-9)
    dot = np.zeros((1, 1, 3), np.uint8)
    assert score(Ssim(), dot, dot) == 0.0


def test_a_distance_grows_with_the_noise() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(80, 176, (32, 32, 3)).astype(np.uint8)
    noise = rng.integers(-40, 41, image.shape)
    worse = [(image + noise * share // 4).astype(np.uint8) for share in range(5)]
    for metric in METRICS:
        values = [score(metric, each, image) for each in worse]
        assert values == sorted(values, reverse=metric.higher_is_better)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: each.name)
def test_an_image_of_another_size_than_its_reference_is_refused(metric: Metric) -> None:
    with pytest.raises(ScoreError) as raised:
        score(metric, flat(0), flat(0, side=8))
    assert str(raised.value) == (
        f"image and reference must have the same size, but the image {'a' * 32} has"
        " 16 x 16 and its reference 8 x 8 pixels; choose a reference of the same size"
    )
