"""Networks of transformers' own classes with small random weights, for metrics."""

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.unit.tiny_folders import write, write_tokenizer

#: Sides of the images that they read, in pixels, and of the parts they are cut into.
SIDE, PATCH = 32, 8
#: Most tokens of a text.
POSITIONS = 12
WIDTH = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


def make_clip(folder: Path, *, seed: int = 8) -> Path:
    """Save a CLIP without what prepares its input."""
    write_tokenizer(folder / "tokenizer", limit=POSITIONS)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text = {
        **WIDTH,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": POSITIONS,
        "num_hidden_layers": 2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**WIDTH, "image_size": SIDE, "patch_size": PATCH, "num_hidden_layers": 2}
    config = transformers.CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=24
    )
    return save(transformers.CLIPModel(config), folder, seed=seed)


def make_whole_clip(folder: Path, *, seed: int = 8) -> Path:
    """Save a CLIP with its tokenizer and its processor."""
    make_clip(folder, seed=seed)
    return add_processor(folder)


def make_dinov2(folder: Path) -> Path:
    """Save a DINOv2 with its processor."""
    config = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
    )
    save(transformers.Dinov2Model(config), folder, seed=8)
    write(folder, "preprocessor_config.json", processor("BitImageProcessor"))
    return folder


def add_processor(folder: Path) -> Path:
    """Add a CLIP's tokenizer and processor to a folder."""
    write_tokenizer(folder, limit=POSITIONS)
    write(folder, "preprocessor_config.json", processor("CLIPImageProcessor"))
    return folder


def processor(kind: str) -> dict[str, Any]:
    """Return the config of an image processor, with CLIP's mean and deviation."""
    return {
        "image_processor_type": kind,
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


@torch.no_grad()
def save(network: Any, folder: Path, *, seed: int) -> Path:
    """Set the weights from a seed, and save them as safetensors."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.xavier_normal_(weight, generator=generator)
        elif name.endswith("class_embedding"):
            torch.nn.init.normal_(weight, generator=generator)
        elif name.endswith("logit_scale"):
            weight.fill_(3.0)
    network.save_pretrained(folder)
    return folder
