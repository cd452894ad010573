"""The objects that replace a pipeline's scheduler and guidance while slots run."""

from collections.abc import Callable, Iterator
from typing import Any

import torch


class MixedScheduler:
    """Passes each call of the pipeline on to the slots.

    It has only the attributes that pipelines use of a scheduler. Its timesteps are made
    while the loop runs, and its length is only for the progress bar.
    """

    order = 1
    #: Each slot scales its own noise.
    init_noise_sigma = 1.0

    def __init__(
        self,
        config: Any,
        *,
        timesteps: Callable[[], Iterator[torch.Tensor]],
        scale: Callable[[torch.Tensor], torch.Tensor],
        step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        """Set the functions that serve all slots.

        Args:
            config: Config of the pipeline's own scheduler, which some pipelines read.
            timesteps: Yields the timesteps of all rows, step by step.
            scale: Scales the network's input.
            step: Returns the latents after a step, from the network's output and the
                latents before it.
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
        """Do nothing: each slot has its own timesteps."""

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing: each slot has its own index."""

    @property
    def timesteps(self) -> "MixedScheduler":
        """The object that the pipeline's loop iterates over: this one."""
        return self

    def __len__(self) -> int:
        """Return a length for the progress bar, which is off."""
        return 1

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield timesteps as long as there are jobs."""
        return self._timesteps()

    def scale_model_input(self, sample: torch.Tensor, timestep: object) -> torch.Tensor:
        """Scale each row as its own scheduler does."""
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
    """A scale of classifier-free guidance (Ho and Salimans 2022) for each row.

    Pipelines only compare it with 1 and multiply by it.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        """Begin with 1 in each of `width` rows, on the device."""
        # Always float32: in a plain script the scale is a Python number, and only its
        # product is rounded to the network's dtype.
        self._values = torch.ones(width, 1, 1, 1, device=device)

    def set(self, index: int, guidance: float) -> None:
        """Set the scale of one row."""
        self._values[index].fill_(guidance)

    def __gt__(self, other: float) -> bool:
        """Return whether `other` is 1: only guided batches have a `MixedGuidance`."""
        return other == 1

    def __mul__(self, noise: torch.Tensor) -> torch.Tensor:
        """Scale each row of (rows, channels, height, width); keep its dtype."""
        return (self._values * noise).to(noise.dtype)
