"""Models with well-known architectures and random weights, without a download.

    python benchmarks/random_models.py sd15 FOLDER

The speed of a network does not depend on its weights, as long as its outputs are
ordinary numbers. The weights are scaled so that they are.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from storage.models.model_files import BUILTIN_FOLDERS

ARCHITECTURES = Path(__file__).with_name("architectures")
NAMES = tuple(sorted(file.stem for file in ARCHITECTURES.glob("*.json")))
#: The demo model's vocabulary is small, so its token ids are valid for any CLIP.
TOKENIZER = BUILTIN_FOLDERS["builtin:shapes"] / "tokenizer"


def read_architecture(name: str) -> dict[str, Any]:
    """Return the configs of a model's parts, and the class of its pipeline."""
    file = ARCHITECTURES / f"{name}.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config


def save_model(name: str, folder: Path, *, device: str = "cpu") -> Path:
    """Save a model in float16 to `folder`, unless it is there already.

    Args:
        name: `sd15`, `sdxl` or `tiny`.
        folder: It takes 2 GB for `sd15`, 7 GB for `sdxl`.
        device: The device that draws the random weights.
    """
    if not (folder / "model_index.json").is_file():
        pipe = make_pipeline(read_architecture(name), device)
        pipe.to(torch.float16).save_pretrained(folder)
    return folder


def make_pipeline(architecture: Mapping[str, Any], device: str) -> Any:
    """Make a pipeline in float32 on a device, with weights from one seed."""
    seed = torch.Generator(device).manual_seed(8)
    parts: dict[str, Any] = {"scheduler": _scheduler(architecture["scheduler"])}
    for name in architecture.keys() - {"pipeline", "scheduler"}:
        with torch.device(device):
            parts[name] = make_network(architecture[name])
        _randomize(parts[name], seed)
        if name.startswith("text"):
            tokenizer = transformers.CLIPTokenizer.from_pretrained(TOKENIZER)
            parts[name.replace("text_encoder", "tokenizer")] = tokenizer
    _scale_answers(parts["unet"], seed)
    if architecture["pipeline"] == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    else:
        parts["add_watermarker"] = False
    return getattr(diffusers, architecture["pipeline"])(**parts)


def make_network(config: Mapping[str, Any]) -> Any:
    """Make one network of a pipeline on the default device."""
    name = config["_class_name"]
    given = {key: value for key, value in config.items() if key != "_class_name"}
    if name.startswith("CLIP"):
        return getattr(transformers, name)(transformers.CLIPTextConfig(**given)).eval()
    return getattr(diffusers, name)(**given).eval()


def ask(unet: Any, *, side: int, rows: int = 1) -> dict[str, Any]:
    """Return arguments for a call of the UNet, on its device and in its dtype.

    Args:
        unet: The UNet of Stable Diffusion or SDXL.
        side: Width and height of the latents.
        rows: Rows of the batch.
    """
    config, kind = unet.config, {"device": unet.device, "dtype": unet.dtype}
    asked = {
        "sample": torch.zeros(rows, config.in_channels, side, side, **kind),
        "timestep": torch.full((rows,), 500.0, device=unet.device),
        "encoder_hidden_states": torch.zeros(
            rows, 77, config.cross_attention_dim, **kind
        ),
        "return_dict": False,
    }
    if config.addition_embed_type:
        times = 6 * config.addition_time_embed_dim
        pooled = config.projection_class_embeddings_input_dim - times
        asked["added_cond_kwargs"] = {
            "text_embeds": torch.zeros(rows, pooled, **kind),
            "time_ids": torch.full((rows, 6), 1024.0, **kind),
        }
    return asked


def _scheduler(config: Mapping[str, Any]) -> Any:
    # As for real files: options that the class does not know stay in its config.
    return getattr(diffusers, config["_class_name"]).from_config(dict(config))


def _randomize(network: Any, seed: torch.Generator) -> None:
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.xavier_normal_(weight, generator=seed)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(weight)


@torch.no_grad()
def _scale_answers(unet: Any, seed: torch.Generator) -> None:
    """Scale the UNet's outputs to a standard deviation of 1."""
    asked = ask(unet, side=16, rows=2)
    for given in (asked["sample"], asked["encoder_hidden_states"]):
        given.normal_(generator=seed)
    unet.conv_out.weight.div_(unet(**asked)[0].std())


if __name__ == "__main__":
    save_model(sys.argv[1], Path(sys.argv[2]))
