"""Metrics as people request them."""

from pathlib import Path

import pytest

from producer.scoring.requested_metrics import (
    ResolvedMetrics,
    read_metric,
    read_metrics,
    read_reference,
)
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError, UsageError
from storage.models.fingerprint import Digests

HERE = Path()


def test_a_metric_has_the_usual_reference_if_it_compares() -> None:
    assert read_metric("clip", base_dir=HERE).title == "clip"
    assert read_metric("rmse", base_dir=HERE).title == "rmse at 200 steps"
    metric = read_metric("rmse", base_dir=HERE, reference=read_reference("steps = 50"))
    assert metric.title == "rmse at 50 steps"


def test_a_metric_of_a_package_says_what_it_is() -> None:
    metric = read_metric("tests.own_metrics:Brightness", base_dir=HERE)
    assert (metric.kind.name, metric.kind.version) == ("brightness", "1")
    assert metric.kind.higher_is_better


def test_the_network_of_clip_follows_from_the_model_of_the_images() -> None:
    resolved = ResolvedMetrics(Digests())
    metric = resolved.of(read_metric("clip", base_dir=HERE), "builtin:shapes")
    assert metric.model == "builtin:clip"
    assert len(metric.model_fingerprint) == 32
    assert metric.reference == {}
    other = resolved.of(read_metric("rmse", base_dir=HERE), "builtin:shapes")
    assert (other.model, other.model_fingerprint) == ("", "")
    assert other.reference == {"steps": 200}


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        (
            "clpi",
            {},
            "a score must be a metric, or a class as package:Class, got clpi; did you "
            "mean `clip`?",
        ),
        (
            "rmse",
            {"model": "builtin:clip"},
            "the metric rmse takes no model, got builtin:clip; leave it out",
        ),
        (
            "clip",
            {"reference": {"steps": 9}},
            "the metric clip compares with no reference, got steps=9; leave it out",
        ),
        (
            "rmse",
            {"reference": {"steps": 1001}},
            "the steps of a reference must be 4 to 1000, got 1001; 200 is usual",
        ),
        (
            "no_such_package:Sharp",
            {},
            "the metric no_such_package:Sharp needs the package no_such_package, which "
            "cannot be imported here (No module named 'no_such_package'); install it "
            "wherever workers run, or correct the name",
        ),
    ],
)
def test_a_metric_that_cannot_be_asked_for_is_refused(
    name: str, more: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_metric(name, base_dir=HERE, **more)  # type: ignore[arg-type]
    assert str(caught.value) == said


def test_a_reference_must_be_steps() -> None:
    with pytest.raises(UsageError) as caught:
        read_reference("seed=3")
    assert str(caught.value) == (
        "a reference must be steps=NUMBER, got seed=3; write steps=200"
    )


def test_a_network_that_is_not_there_is_said_with_the_metric(tmp_path: Path) -> None:
    metric = read_metric("clip", base_dir=tmp_path, model="./nothing")
    with pytest.raises(UsageError, match=r"^the metric clip cannot be computed: "):
        ResolvedMetrics(Digests()).of(metric, "builtin:shapes")


def test_all_scores_of_a_sweep_that_cannot_be_computed_are_said(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "name: s\nbase: {model: m, prompt: p}\nscores:\n- clip\n- gone.a:A\n"
        "- {metric: clip, reference: {steps: 8}}\n"
    )
    with pytest.raises(SpecError) as caught:
        read_metrics(read_spec(file))
    assert [str(each)[:18] for each in caught.value.problems] == [
        "sweep.yaml line 5:",
        "sweep.yaml line 6:",
    ]
