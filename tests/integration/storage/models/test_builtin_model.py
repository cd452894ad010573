"""The demo model of the package: complete, small, and any tool loads it."""

import json
import stat
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from transformers import CLIPModel

from storage.models.model_files import BUILTIN_FOLDERS
from tests import script
from training import train

SHAPES = BUILTIN_FOLDERS["builtin:shapes"]
CLIP = SHAPES.parent / "clip"
BLUE, RED = np.array([35, 75, 220]), np.array([220, 38, 38])


def files() -> list[Path]:
    return [p for folder in (SHAPES, CLIP) for p in folder.rglob("*") if p.is_file()]


def test_it_is_where_its_training_command_writes_it() -> None:
    assert {train.BUILTIN / "shapes", train.BUILTIN / "clip"} == {SHAPES, CLIP}


def test_it_is_small_safetensors_only_and_readable_by_all() -> None:
    assert sum(path.stat().st_size for path in files()) < 20_000_000
    weights = {path.suffix for path in files()} - {".json", ".txt"}
    assert weights == {".safetensors"}
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o444 for path in files()}
    assert modes == {0o444}


def test_a_plain_script_loads_it_in_float32_without_being_told() -> None:
    pipe = DiffusionPipeline.from_pretrained(SHAPES, use_safetensors=True)
    parts = (pipe.unet, pipe.vae, pipe.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.safety_checker is None


def test_its_scheduler_is_that_of_stable_diffusion() -> None:
    config = json.loads((SHAPES / "scheduler" / "scheduler_config.json").read_text())
    assert config["_class_name"] == "PNDMScheduler"
    assert config["clip_sample"] is False
    assert config["skip_prk_steps"] is True
    assert config["steps_offset"] == 1


def test_its_unet_can_be_loaded_by_flax_too() -> None:
    config = json.loads((SHAPES / "unet" / "config.json").read_text())
    assert config["norm_num_groups"] == 32
    assert all(channels % 32 == 0 for channels in config["block_out_channels"])


def test_it_paints_what_it_is_told() -> None:
    image = script.paint(
        "DDIMScheduler", {}, prompt="a red circle on a blue background", steps=8
    )
    pixels = np.asarray(image, int)
    corner, middle = pixels[2:8, 2:8].mean((0, 1)), pixels[28:36, 28:36].mean((0, 1))
    assert np.abs(corner - BLUE).max() < 40
    assert np.abs(middle - RED).max() < 40


def test_fewer_steps_make_a_worse_picture() -> None:
    prompt = "a red circle on a blue background"
    good = np.asarray(script.paint("DDIMScheduler", {}, prompt=prompt, steps=20), int)
    few = np.asarray(script.paint("DDIMScheduler", {}, prompt=prompt, steps=2), int)
    more = np.asarray(script.paint("DDIMScheduler", {}, prompt=prompt, steps=8), int)
    assert np.abs(few - good).mean() > 3 * np.abs(more - good).mean()


def test_its_clip_shares_the_text_encoder() -> None:
    clip = CLIPModel.from_pretrained(CLIP, dtype=torch.float32)
    pipe, _ = script.load()
    own = pipe.text_encoder.state_dict()
    theirs = clip.text_model.state_dict()
    common = [name for name in theirs if name.removeprefix("text_model.") in own]
    assert common
    for name in common:
        # One is stored in half precision.
        assert torch.allclose(theirs[name], own[name], atol=2e-3), name
