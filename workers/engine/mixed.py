"""What the pipeline takes for its scheduler and its guidance, while slots run."""

from collections.abc import Callable, Iterator
from typing import Any

import torch


class MixedScheduler:
    """Passes each call of the pipeline on to the slots.

    It has what pipelines ask of a scheduler, and nothing of its own: a length that is
    only for the progress bar, and timesteps that are made while the loop runs.
    """

    order = 1
    #: Each slot begins with noise of its own scale.
    init_noise_sigma = 1.0

    def __init__(
        self,
        config: Any,
        *,
        timesteps: Callable[[], Iterator[torch.Tensor]],
        scale: Callable[[torch.Tensor], torch.Tensor],
        step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        """Take what answers for all slots.

        Args:
            config: Of the pipeline's own scheduler, which some pipelines read.
            timesteps: Gives the timesteps of all rows, step by step.
            scale: Scales the network's input.
            step: Gives the latents after a step from the network's answer and those
                before it.
        """
        self.config = config
        self._timesteps = timesteps
        self._scale = scale
        self._step = step

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: object = None,
        sigmas: object = None,
        mu: float | None = None,
    ) -> None:
        """Do nothing: each slot has its own."""

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing: each slot has its own."""

    @property
    def timesteps(self) -> "MixedScheduler":
        """What the pipeline's loop iterates over."""
        return self

    def __len__(self) -> int:
        """Return a number for the progress bar, which is off."""
        return 1

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Return timesteps for as long as there are jobs."""
        return self._timesteps()

    def scale_model_input(self, sample: torch.Tensor, timestep: object) -> torch.Tensor:
        """Scale each row as its scheduler does."""
        del timestep
        return self._scale(sample)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: object,
        sample: torch.Tensor,
        *,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """Take one step in each row."""
        del timestep, return_dict
        return (self._step(model_output, sample),)


class MixedGuidance:
    """A guidance scale for each row.

    Pipelines ask whether it is more than 1, and multiply by it: no more is needed.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        """Begin with 1 in each of `width` rows."""
        # In float32 also where the network is not: a plain script's number is rounded
        # only after the multiplication.
        self._values = torch.ones(width, 1, 1, 1, device=device)

    def set(self, index: int, guidance: float) -> None:
        """Set the scale of one row."""
        self._values[index].fill_(guidance)

    def __gt__(self, other: float) -> bool:
        """Say yes: a batch that takes this is a guided one."""
        return other == 1

    def __mul__(self, noise: torch.Tensor) -> torch.Tensor:
        """Scale each row of (width, channels, height, width)."""
        return (self._values * noise).to(noise.dtype)
