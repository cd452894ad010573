"""Scores in float16 on a GPU, against those in float32 on a CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.samples import make_noise, make_sample
from tests.tiny_networks import make_dinov2, make_whole_clip
from workers.metrics.measuring import measure
from workers.metrics.registry import load

PROMPTS = ("a red circle on a blue background", "a green star", "cat")


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("clip", 3e-3),
        ("pickscore", 6e-2),  # twenty times a cosine
        ("clip_distance", 3e-3),
        ("dino_distance", 3e-3),
    ],
)
def test_a_score_is_the_same_in_half_precision(
    tmp_path: Path, name: str, tolerance: float
) -> None:
    make: Any = make_dinov2 if name == "dino_distance" else make_whole_clip
    model = str(make(tmp_path))
    rng = np.random.default_rng(5)
    samples = [
        make_sample(
            image=make_noise(rng, width=48, height=40),
            reference=make_noise(rng, width=48, height=40),
            prompt=PROMPTS[number % len(PROMPTS)],
        )
        for number in range(70)  # more than a batch
    ]
    slow, fast = (
        measure(load(name, model=model, device=device), samples)
        for device in ("cpu", "cuda:0")
    )
    assert fast == pytest.approx(slow, abs=tolerance)
    assert fast != slow


def test_the_demos_clip_runs_in_half_precision() -> None:
    metric: Any = load("clip", model="builtin:clip", device="cuda:0")
    assert metric._clip.network.dtype == torch.float16
    slow = load("clip", model="builtin:clip", device="cpu")
    samples = [make_sample(prompt=prompt) for prompt in PROMPTS]
    assert metric.score(samples) == pytest.approx(slow.score(samples), abs=3e-3)
