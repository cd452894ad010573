"""Denoising without a network: schedulers are driven as pipelines drive them.

The stand-in's outputs have the scale of noise, as a network's do. So a scheduler that
overflows or divides by zero here does so with a model.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

#: The shift for an image of 512 x 512 pixels.
MU = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        latents: The last latents; None after an error.
        evaluations: Calls of the network.
        error: Class and text of the error; empty if there was none.
    """

    latents: torch.Tensor | None
    evaluations: int
    error: str = ""

    @property
    def is_finite(self) -> bool:
        """Whether it ran to the end, with finite numbers."""
        return self.latents is not None and bool(torch.isfinite(self.latents).all())


def set_timesteps(scheduler: Any, *, steps: int, family: str = "sd") -> None:
    """Set the timesteps as the pipelines of a family do."""
    config = scheduler.config
    moved = {"mu": MU} if family == "flux" or config.get("use_dynamic_shifting") else {}
    if family == "flux" and not config.get("use_flow_sigmas"):
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), **moved)
    else:
        scheduler.set_timesteps(steps, **moved)


def denoise(
    scheduler: Any,
    *,
    begins_at_zero: bool = False,
    dtype: torch.dtype = torch.float32,
    eta: float = 0.0,
    noise_seed: int = 3,
) -> Outcome:
    """Denoise fixed latents of 4 x 4 by a scheduler whose timesteps are set.

    Raises:
        Exception: Whatever diffusers raises.
    """
    if begins_at_zero and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    first = torch.Generator().manual_seed(1)
    latents, bias = torch.randn(2, 1, 4, 4, 4, generator=first).to(dtype)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    given = _step_inputs(scheduler, eta=eta, noise_seed=noise_seed)
    scale = getattr(scheduler, "scale_model_input", lambda latents, _: latents)
    for timestep in scheduler.timesteps:
        noise = torch.tanh(scale(latents, timestep)).to(dtype) + 0.1 * bias
        stepped = scheduler.step(noise, timestep, latents, return_dict=False, **given)
        latents = stepped[0].to(dtype)
    return Outcome(latents=latents, evaluations=len(scheduler.timesteps))


def _step_inputs(scheduler: Any, *, eta: float, noise_seed: int) -> Mapping[str, Any]:
    given = {"eta": eta, "generator": torch.Generator().manual_seed(noise_seed)}
    taken = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in given.items() if name in taken}
