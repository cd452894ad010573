"""Models with random weights, for benchmarks: every architecture makes images."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from storage.models import model_files as models

BENCHMARKS = Path(models.__file__).parents[2] / "benchmarks"
#: What makes the networks small, by the key of their configs.
SMALL = {
    "block_out_channels": lambda old: [32, 64, 64, 64][: len(old)],
    "attention_head_dim": lambda old: [2] * len(old) if isinstance(old, list) else 2,
    "transformer_layers_per_block": lambda old: [1] * len(old),
    "layers_per_block": lambda _old: 1,
    "addition_time_embed_dim": lambda _old: 8,
    "num_hidden_layers": lambda _old: 2,
    "num_attention_heads": lambda _old: 2,
    "intermediate_size": lambda _old: 32,
    "hidden_size": lambda _old: 16,
    "projection_dim": lambda _old: 16,
}


@pytest.fixture
def random_models(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("random_models")


def shrink(architecture: dict[str, Any]) -> dict[str, Any]:
    """Make an architecture small, and what must fit together fit."""
    parts: dict[str, Any] = {
        name: {key: SMALL.get(key, lambda old: old)(old) for key, old in part.items()}
        if isinstance(part, dict)
        else part
        for name, part in architecture.items()
    }
    texts = [part for name, part in parts.items() if name.startswith("text")]
    unet = parts["unet"]
    unet["cross_attention_dim"] = sum(text["hidden_size"] for text in texts)
    if "projection_class_embeddings_input_dim" in unet:
        pooled = parts["text_encoder_2"]["projection_dim"]
        unet["projection_class_embeddings_input_dim"] = 6 * 8 + pooled
    return parts


@pytest.mark.parametrize("name", ["sd15", "sdxl", "tiny"])
def test_every_architecture_makes_an_image_of_ordinary_numbers(
    random_models: ModuleType, name: str
) -> None:
    assert set(random_models.NAMES) == {"sd15", "sdxl", "tiny"}
    architecture = random_models.read_architecture(name)
    pipe = random_models.make_pipeline(shrink(architecture), "cpu")
    pipe.set_progress_bar_config(disable=True)
    assert dict(pipe.scheduler.config).items() >= architecture["scheduler"].items()
    pixels = pipe(
        "a cat", num_inference_steps=2, width=64, height=64, output_type="pt"
    ).images
    assert torch.isfinite(pixels).all()
    assert pixels.std() > 0
