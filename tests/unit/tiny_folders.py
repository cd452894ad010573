"""Model folders in diffusers format made of small files, without torch."""

import json
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": [None, None],
    "requires_safety_checker": True,
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SCHEDULER = {"_class_name": "PNDMScheduler", "clip_sample": False, "steps_offset": 1}
UNET = {"_class_name": "UNet2DConditionModel", "sample_size": 64}
VAE = {"_class_name": "AutoencoderKL", "block_out_channels": [32, 32, 64, 64]}

#: What is loaded of the folder that `make_folder` writes.
LOADED = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


def weights(content: str) -> bytes:
    """A safetensors file without tensors, with `content` as its metadata."""
    header = json.dumps({"__metadata__": {"content": content}}).encode()
    return len(header).to_bytes(8, "little") + header


def write(folder: Path, file: str, content: object) -> Path:
    """Write bytes or text as they are, anything else as JSON."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(json.dumps(content))
    return path


def write_tokenizer(folder: Path, *, limit: int = 77) -> None:
    """Write CLIP's files with a vocabulary of bytes, so that a letter is a token."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "ca", "cat</w>"]
    vocab = [*words, "<|startoftext|>", "<|endoftext|>"]
    write(folder, "vocab.json", {word: place for place, word in enumerate(vocab)})
    write(folder, "merges.txt", "#version: 0.2\nc a\nca t</w>\n")
    write(folder, "tokenizer_config.json", {"model_max_length": limit})


def make_folder(folder: Path, *, index: dict[str, Any] | None = None) -> Path:
    """Write a Stable Diffusion folder as the Hub has them, with files beside it.

    `index` changes entries of model_index.json.
    """
    write(folder, "model_index.json", INDEX | (index or {}))
    write(folder, "scheduler/scheduler_config.json", SCHEDULER)
    write(folder, "text_encoder/config.json", {"max_position_embeddings": 77})
    write(folder, "text_encoder/model.safetensors", weights("text"))
    write(folder, "unet/config.json", UNET)
    write(folder, "unet/diffusion_pytorch_model.safetensors", weights("unet"))
    write(folder, "vae/config.json", VAE)
    write(folder, "vae/diffusion_pytorch_model.safetensors", weights("vae"))
    write_tokenizer(folder / "tokenizer")
    write(folder, "README.md", "# A model")
    write(folder, "v1-5-pruned.safetensors", weights("one file"))
    write(folder, "unet/diffusion_pytorch_model.bin", b"pickle")
    write(folder, "unet/diffusion_pytorch_model.non_ema.safetensors", weights("raw"))
    write(folder, "unet/diffusion_flax_model.msgpack", b"flax")
    write(folder, "vae/model.onnx", b"onnx")
    write(folder, "feature_extractor/preprocessor_config.json", {})
    write(folder, "safety_checker/config.json", {})
    write(folder, "safety_checker/model.safetensors", weights("safety"))
    return folder


def write_flax_folder(folder: Path) -> Path:
    """Write a Stable Diffusion folder as Flax saves them."""
    index = INDEX | {
        "_class_name": "FlaxStableDiffusionPipeline",
        "scheduler": ["diffusers", "FlaxPNDMScheduler"],
        "text_encoder": ["transformers", "FlaxCLIPTextModel"],
        "unet": ["diffusers", "FlaxUNet2DConditionModel"],
        "vae": ["diffusers", "FlaxAutoencoderKL"],
    }
    write(folder, "model_index.json", index)
    own = SCHEDULER | {"_class_name": "FlaxPNDMScheduler"}
    write(folder, "scheduler/scheduler_config.json", own)
    write(folder, "text_encoder/config.json", {"max_position_embeddings": 77})
    write(folder, "text_encoder/flax_model.msgpack", b"text")
    write(folder, "unet/config.json", UNET)
    write(folder, "unet/diffusion_flax_model.msgpack", b"unet")
    write(folder, "vae/config.json", VAE)
    write(folder, "vae/diffusion_flax_model.msgpack", b"vae")
    write_tokenizer(folder / "tokenizer")
    return folder


def make_network(folder: Path) -> Path:
    """Write a CLIP as the Hub has them, with files beside it."""
    write(folder, "config.json", {"model_type": "clip"})
    write(folder, "model.safetensors", weights("clip"))
    write(folder, "preprocessor_config.json", {})
    write_tokenizer(folder)
    write(folder, "README.md", "# A model")
    write(folder, "pytorch_model.bin", b"pickle")
    write(folder, "onnx/config.json", {"model_type": "another"})
    return folder
