"""Scores of many images, of which some have none."""

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from storage.errors import DeviceError, MetricError, ScoreError, UnfitError
from workers.metrics.measuring import measure
from workers.metrics.metric import Sample


class Length:
    """A metric that needs no pixels: how long the prompt is."""

    name = "length"
    version = "1"
    higher_is_better = True
    needs_reference = False
    batch_size = 4

    def __init__(self, of: Callable[[str], Any] = len) -> None:
        self.of = of
        self.batches: list[int] = []

    def score(self, samples: Sequence[Sample]) -> list[float]:
        self.batches.append(len(samples))
        return [self.of(each.prompt) for each in samples]


def samples(*prompts: str) -> list[Sample]:
    """Return a sample for each prompt, which is its key too."""
    return [_sample(prompt) for prompt in prompts]


def _sample(prompt: str) -> Sample:
    nothing: Any = None
    return Sample(image=nothing, prompt=prompt, parameters={"key": prompt})


def test_scores_come_in_order_and_in_batches() -> None:
    metric = Length()
    assert measure(metric, samples(*("x" * n for n in range(10)))) == list(range(10))
    assert metric.batches == [4, 4, 2]
    assert measure(metric, []) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "many"])
def test_what_is_no_finite_number_is_an_error_of_that_image_alone(value: Any) -> None:
    metric = Length(lambda prompt: value if prompt == "bad" else 1)
    first, second, third = measure(metric, samples("good", "bad", "fine"))
    assert (first, third) == (1.0, 1.0)
    assert isinstance(second, ScoreError)
    assert str(second) == (
        f"a score must be a finite number, but length gave {value!r} to the image bad;"
        " look at the image, or mend the metric"
    )


def test_an_image_at_which_a_metric_fails_costs_no_other_its_score() -> None:
    def of(prompt: str) -> int:
        if prompt == "bad":
            message = "no such word"
            raise KeyError(message)
        return len(prompt)

    metric = Length(of)
    *others, failed = measure(metric, samples("a", "aa", "aaa", "bad"))
    assert others == [1, 2, 3]
    assert isinstance(failed, ScoreError)
    assert str(failed) == (
        "length must score any image, but fails for the image bad: KeyError: 'no such"
        " word'; look at the image, or mend the metric"
    )
    assert metric.batches == [4, 2, 2, 1, 1]


def test_a_metrics_own_error_of_an_image_is_kept() -> None:
    own = ScoreError("the image must be square")

    def of(prompt: str) -> int:
        if prompt == "bad":
            raise own
        return 1

    assert measure(Length(of), samples("good", "bad")) == [1.0, own]


def test_a_batch_too_large_for_the_device_is_halved_until_it_fits() -> None:
    class Large(Length):
        def score(self, samples: Sequence[Sample]) -> list[float]:
            if len(samples) > 1:
                message = "it does not fit"
                raise UnfitError(message)
            return super().score(samples)

    metric = Large()
    assert measure(metric, samples("a", "bb", "ccc")) == [1, 2, 3]
    assert metric.batches == [1, 1, 1]


@pytest.mark.parametrize("error", [UnfitError("too large"), DeviceError("it is gone")])
def test_an_error_of_the_device_is_not_the_images(error: Exception) -> None:
    def of(_prompt: str) -> int:
        raise error

    with pytest.raises(type(error)) as raised:
        measure(Length(of), samples("a", "b"))
    assert raised.value is error


def test_a_metric_that_returns_too_few_scores_is_not_a_metric() -> None:
    class Lazy(Length):
        def score(self, samples: Sequence[Sample]) -> list[float]:
            return super().score(samples)[:1]

    with pytest.raises(MetricError) as raised:
        measure(Lazy(), samples("a", "b"))
    assert str(raised.value) == (
        "`score` of length must return a number for each sample, but returned 1 for 2;"
        " mend it"
    )


def test_an_image_without_the_reference_that_a_metric_needs_has_no_score() -> None:
    class Distance(Length):
        needs_reference = True

    anything: Any = object()
    with_one = Sample(image=anything, prompt="a", parameters={}, reference=anything)
    score, missing = measure(Distance(), [with_one, *samples("bad")])
    assert score == 1.0
    assert isinstance(missing, ScoreError)
    assert str(missing) == (
        "length compares with the image at the reference setting, which the image bad"
        " does not have; make that first"
    )


def test_what_measures_is_imported_without_what_metrics_need() -> None:
    modules = "workers.metrics.registry, workers.metrics.measuring"
    heavy = "{'torch', 'transformers', 'scipy', 'numpy'}"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
