"""The ten lines that a user would write, to compare strict images with."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL.Image import Image

from storage.models.model_files import BUILTIN_FOLDERS

#: Torch's default number of threads on this machine, which a plain script has.
THREADS = torch.get_num_threads()
SHAPES = BUILTIN_FOLDERS["builtin:shapes"]


@cache
def load(folder: Path = SHAPES) -> tuple[Any, dict[str, Any]]:
    """Load a pipeline once; return it and its scheduler's own config."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe, dict(pipe.scheduler.config)


def paint(
    class_name: str,
    options: Mapping[str, Any],
    *,
    prompt: str,
    seed: int = 8,
    steps: int,
    guidance: float = 2.5,
    **call: Any,
) -> Image:
    """Make one image as a plain diffusers script does."""
    torch.set_num_threads(THREADS)
    pipe, config = load()
    if class_name == "DPMSolverSDEScheduler":
        options = {**options, "noise_sampler_seed": seed}
    scheduler = getattr(diffusers, class_name).from_config(config, **options)
    pipe.scheduler = scheduler
    generator = torch.Generator("cpu").manual_seed(seed)
    image: Image = pipe(
        prompt,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=generator,
        **call,
    ).images[0]
    return image


def paint_together(prompts: Sequence[str], *, steps: int) -> list[Image]:
    """Make an image for each prompt in one batch, with DDIM and the same noise."""
    torch.set_num_threads(THREADS)
    pipe, config = load()
    pipe.scheduler = diffusers.DDIMScheduler.from_config(config)
    images: list[Image] = pipe(
        list(prompts),
        num_inference_steps=steps,
        guidance_scale=2.5,
        generator=[torch.Generator("cpu").manual_seed(8) for _ in prompts],
    ).images
    return images
