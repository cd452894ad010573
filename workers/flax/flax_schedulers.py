"""Flax's schedulers, made to behave as those of torch."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import diffusers
import jax.numpy as jnp
from diffusers import FlaxDPMSolverMultistepScheduler

from storage.catalogue.backends import find_problems
from storage.catalogue.scheduler_options import CLASSES
from storage.errors import JobError


class DPMSolver(FlaxDPMSolverMultistepScheduler):  # type: ignore[misc]
    """DPM-Solver whose last step ends without noise, as in torch.

    That of diffusers ends at the noise of the first timestep in training.
    """

    def step(
        self,
        state: Any,
        model_output: Any,
        timestep: Any,
        sample: Any,
        return_dict: bool = True,
    ) -> Any:
        """Return the next sample and state; the last sample is the predicted image."""
        later, state = super().step(
            state, model_output, timestep, sample, return_dict=False
        )
        is_last = timestep == state.timesteps[-1]
        return jnp.where(is_last, state.model_outputs[-1], later), state


def class_of(class_name: str, values: Mapping[str, Any]) -> Any:
    """Return the Flax class for a class of torch whose options have these values."""
    if values.get("final_sigmas_type") == "zero" and class_name.startswith("DPM"):
        return DPMSolver
    return getattr(diffusers, f"Flax{class_name}")


def build(
    class_name: str, options: Mapping[str, Any], *, config: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return the scheduler of a job and its state.

    Args:
        class_name: Class in torch, `DDIMScheduler`.
        options: The job's options, which override the config.
        config: The model's original scheduler config.

    Raises:
        JobError: There is none for Flax, or it lacks a value of an option.
    """
    if problems := find_problems(class_name, options, config=config):
        raise JobError(problems[0])
    values = {**config, **CLASSES[class_name].values(options, config)}
    made_by = class_of(class_name, values)
    taken = signature(made_by.__init__).parameters
    scheduler = made_by(**{name: values[name] for name in values if name in taken})
    return scheduler, scheduler.create_state()
