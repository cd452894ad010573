"""Scores of any number of images; the errors of one cost no other its score."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from storage.errors import DeviceError, MetricError, ScoreError, UnfitError, in_words
from workers.metrics.metric import Metric, Sample

Outcome = float | ScoreError


def measure(metric: Metric, samples: Sequence[Sample]) -> list[Outcome]:
    """Return the score of each sample, or why it has none, in their order.

    If a batch fails, its halves are tried, so that a single bad image costs no other
    image its score, and a batch too large for a GPU narrows itself.

    Args:
        metric: As `workers.metrics.registry.load` returns it.
        samples: Images of any sizes.

    Raises:
        UnfitError: One image does not fit into the device's memory.
        DeviceError: The device is of no more use to this process.
        MetricError: The metric returned another number of scores.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(samples), metric.batch_size):
        outcomes += _measure(metric, samples[start : start + metric.batch_size])
    return outcomes


def _measure(metric: Metric, samples: Sequence[Sample]) -> list[Outcome]:
    if metric.needs_reference and any(each.reference is None for each in samples):
        return _halved(metric, samples) or [_no_reference(metric, samples[0])]
    try:
        with _device_errors(metric):
            values = metric.score(samples)
    except (DeviceError, MetricError):
        raise
    except UnfitError:
        if halved := _halved(metric, samples):
            return halved
        raise
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything
        return _halved(metric, samples) or [_failed(metric, samples[0], error)]
    if len(values) != len(samples):
        msg = (
            f"`score` of {metric.name} must return a number for each sample, but"
            f" returned {len(values)} for {len(samples)}; mend it"
        )
        raise MetricError(msg)
    return [_check(metric, *pair) for pair in zip(samples, values, strict=True)]


def _halved(metric: Metric, samples: Sequence[Sample]) -> list[Outcome]:
    """Measure both halves; return nothing if there is only one sample."""
    half = len(samples) // 2
    if not half:
        return []
    return _measure(metric, samples[:half]) + _measure(metric, samples[half:])


@contextmanager
def _device_errors(metric: Metric) -> Iterator[None]:
    # A metric that does not use torch does not need it installed.
    if "torch" not in sys.modules:
        yield
        return
    from workers.devices.device_errors import device_errors

    with device_errors(f"one image for the metric {metric.name}"):
        yield


def _check(metric: Metric, sample: Sample, value: object) -> Outcome:
    try:
        number = float(value)  # type: ignore[arg-type] # a user's class may return anything
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number):
        return number
    return ScoreError(
        f"a score must be a finite number, but {metric.name} gave {value!r} to the"
        f" image {sample.key}; look at the image, or mend the metric"
    )


def _no_reference(metric: Metric, sample: Sample) -> ScoreError:
    return ScoreError(
        f"{metric.name} compares with the image at the reference setting, which the"
        f" image {sample.key} does not have; make that first"
    )


def _failed(metric: Metric, sample: Sample, error: Exception) -> ScoreError:
    if isinstance(error, ScoreError):
        return error
    return ScoreError(
        f"{metric.name} must score any image, but fails for the image {sample.key}:"
        f" {in_words(error)}; look at the image, or mend the metric"
    )
