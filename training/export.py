"""Write the trained parts to the folders that nightsweep ships."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models import ModelMixin
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel

from training.data import WIDTH_PX
from training.tokenizer import make_tokenizer

#: The file of Stable Diffusion 1.5, word for word. PNDM itself does not know
#: `clip_sample`, but a DDIM scheduler that is made from this file needs it.
SCHEDULER_CONFIG = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
#: The CLIP's input: resized to 64 x 64 pixels, normalised to -1 to 1.
IMAGE_CONFIG = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": WIDTH_PX},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": WIDTH_PX, "width": WIDTH_PX},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def export_pipeline(
    target: Path, *, vae: AutoencoderKL, unet: UNet2DConditionModel, text: CLIPTextModel
) -> None:
    """Write a Stable Diffusion pipeline folder.

    The UNet and the autoencoder are stored in float16, the text encoder in float32.
    Loaded without a dtype, diffusers converts its models to float32, but transformers
    keeps the stored dtype; a float16 text encoder would not fit.

    Args:
        target: The folder to write or to replace.
        vae: The trained autoencoder; unchanged.
        unet: The trained UNet; unchanged.
        text: The trained text encoder.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as parent:
        folder = Path(parent) / target.name
        tokenizer = make_tokenizer(folder / "tokenizer")
        pipeline = StableDiffusionPipeline(
            vae=_half(vae),
            text_encoder=text.float(),
            tokenizer=tokenizer,
            unet=_half(unet),
            scheduler=PNDMScheduler.from_config(SCHEDULER_CONFIG),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
        _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER_CONFIG)
        _add_prefix(folder / "text_encoder" / "model.safetensors")
        _move_into(folder, target)


def export_clip(target: Path, clip: CLIPModel) -> None:
    """Write the CLIP, in float16, with its tokenizer and image settings."""
    with tempfile.TemporaryDirectory(dir=target.parent) as parent:
        folder = Path(parent) / target.name
        make_tokenizer(folder)
        half = CLIPModel(clip.config).half()
        half.load_state_dict(clip.state_dict())
        half.save_pretrained(folder, safe_serialization=True)
        _write_json(folder / "preprocessor_config.json", IMAGE_CONFIG)
        _move_into(folder, target)


def _half(model: ModelMixin) -> ModelMixin:
    copy = type(model).from_config(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.to(torch.float16)


def _add_prefix(path: Path) -> None:
    # transformers 5 omits the prefix but accepts it; transformers 4 and other readers
    # of such folders expect it.
    tensors = load_file(path)
    prefix = "text_model."
    named = {prefix + name.removeprefix(prefix): t for name, t in tensors.items()}
    save_file(named, path, metadata={"format": "pt"})


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _move_into(source: Path, target: Path) -> None:
    """Replace the files of a folder one by one, each atomically."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for path in sorted(wanted):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        # The libraries write weights with read permission for the owner only.
        (source / path).chmod(0o644)
        (source / path).replace(target / path)
    for path in target.rglob("*"):
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
    shutil.rmtree(source)
