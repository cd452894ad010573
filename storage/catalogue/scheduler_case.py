"""A scheduler for a model, as the rules on what may be requested see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.catalogue.scheduler_options import SchedulerClass, kind_of_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scheduler for a model, as the rules see it.

    Attributes:
        of: The scheduler class.
        options: The requested options, names to values.
        pins: What else the scheduler's name stands for.
        extras: Call parameters such as eta.
        config: The model's original scheduler config.
        family: Family of the model: `sd`, `sdxl`, `sd3`, `flux`, `lcm` or `other`.
        pipeline: Class of its pipeline; empty where it is not known.
    """

    of: SchedulerClass
    options: Mapping[str, Any]
    pins: Mapping[str, Any]
    extras: Mapping[str, Any]
    config: Mapping[str, Any]
    family: str
    pipeline: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The value of every option, the model's config and defaults included."""
        return self.of.values({**self.pins, **self.options}, self.config)

    @property
    def kind(self) -> str:
        """`flow`, `distilled`, `edm` or `diffusion`: what the model was trained for."""
        return kind_of_model(self.family, self.config, pipeline=self.pipeline)


def shown(value: object) -> str:
    """Return a value as YAML and JSON write it: true, null, text as it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_noisy(of: SchedulerClass, values: Mapping[str, Any], eta: float) -> bool:
    """Return whether a class with these values draws noise in its steps."""
    return {
        "never": False,
        "always": True,
        "eta": eta > 0,
        "sde": str(values.get("algorithm_type", "")).startswith("sde-"),
        "option": bool(values.get("stochastic_sampling")),
    }[of.noise]
