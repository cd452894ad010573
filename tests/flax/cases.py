"""Schedulers that both back ends paint with, from the same noise, and torch's pixels.

In the environment with torch, `python -m tests.flax.cases` makes the pixels anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.models.model_files import BUILTIN_FOLDERS
from workers.noise import draw

PIXELS = Path(__file__).with_name("torch_pixels.npz")
FOLDER = BUILTIN_FOLDERS["builtin:shapes"]
PROMPT = "a large red circle on a white background"
NEGATIVE = "blue"
SEED = 3
STEPS = 20
SIZE = 64
#: Of each picture every fourth row and column is kept, which makes a small file.
STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """A scheduler and a guidance."""

    scheduler_class: str
    options: Mapping[str, Any] = field(default_factory=dict)
    guidance: float = 7.5
    steps: int = STEPS

    def __str__(self) -> str:
        settings = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.scheduler_class}({settings})-{self.guidance:g}-{self.steps}"


DPM = "DPMSolverMultistepScheduler"
CASES = (
    Case(scheduler_class=DPM),
    # Few steps: the solver itself takes its last steps in another order.
    Case(scheduler_class=DPM, steps=8),
    Case(scheduler_class=DPM, options={"final_sigmas_type": "sigma_min"}),
    Case(scheduler_class=DPM, options={"timestep_spacing": "trailing"}),
    Case(scheduler_class=DPM, options={"solver_type": "heun", "solver_order": 2}),
    Case(scheduler_class=DPM, options={"solver_order": 1}),
    Case(
        scheduler_class=DPM,
        options={"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    ),
    Case(scheduler_class="DDIMScheduler"),
    Case(scheduler_class="DDIMScheduler", guidance=1.0),
    Case(scheduler_class="DDIMScheduler", options={"clip_sample": True}),
    Case(scheduler_class="DDIMScheduler", options={"set_alpha_to_one": True}),
    Case(scheduler_class="PNDMScheduler"),
    Case(scheduler_class="PNDMScheduler", options={"skip_prk_steps": False}),
    Case(scheduler_class="EulerDiscreteScheduler"),
)


def noise(pipe: Any) -> np.ndarray[Any, Any]:
    """Return the noise of the cases, for a pipeline in torch or Flax."""
    rows = SIZE // pipe.vae_scale_factor
    return draw(SEED, (1, pipe.unet.config.in_channels, rows, rows))


def paint_with_torch() -> dict[str, np.ndarray[Any, Any]]:
    """Return the pixels of each case, 0 to 1, from pipelines in torch."""
    import diffusers
    import torch

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        FOLDER, local_files_only=True
    )
    config = dict(pipe.scheduler.config)
    pictures = {}
    for case in CASES:
        made_by = getattr(diffusers, case.scheduler_class)
        pipe.scheduler = made_by.from_config(config, **case.options)
        pictures[str(case)] = pipe(
            PROMPT,
            negative_prompt=NEGATIVE,
            latents=torch.from_numpy(noise(pipe)),
            num_inference_steps=case.steps,
            guidance_scale=case.guidance,
            height=SIZE,
            width=SIZE,
            output_type="np",
        ).images[0]
    return pictures


def main() -> None:
    """Write every kept pixel of torch's pictures."""
    kept = {
        name: pixels[::STRIDE, ::STRIDE].astype(np.float16)
        for name, pixels in paint_with_torch().items()
    }
    np.savez_compressed(PIXELS, **kept)


if __name__ == "__main__":
    main()
