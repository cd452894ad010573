"""What the Flax back end can paint, as plain data.

It is that of diffusers 0.39, the last version with Flax. Its schedulers have fewer
options than torch's: each behaves as if the others had one value. `make test-flax`
holds the table against the installed classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.catalogue.scheduler_options import CLASSES, names_or
from storage.job import EXTRAS, canonical_json

#: The one pipeline that workers of Flax run.
FLAX_PIPELINE = "StableDiffusionPipeline"
#: The precisions of its networks.
FLAX_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaxScheduler:
    """One scheduler class of torch on the Flax back end.

    Attributes:
        limits: Values that an option may have, by name; other options are free.
        refusal: Why the class cannot be used; empty if it can.
    """

    limits: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    refusal: str = ""


_PLAIN_SIGMAS: Mapping[str, tuple[Any, ...]] = {
    "use_karras_sigmas": (False,),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
}

_ABSENT = FlaxScheduler(refusal="diffusers has none for Flax")

FLAX_SCHEDULERS: Mapping[str, FlaxScheduler] = {
    "DDIMScheduler": FlaxScheduler(
        limits={
            "timestep_spacing": ("leading",),
            "thresholding": (False,),
            "rescale_betas_zero_snr": (False,),
        }
    ),
    "DPMSolverMultistepScheduler": FlaxScheduler(
        limits={
            "algorithm_type": ("dpmsolver++", "dpmsolver"),
            "solver_order": (1, 2),
            "timestep_spacing": ("linspace", "trailing"),
            "euler_at_final": (False,),
            "use_lu_lambdas": (False,),
            "use_flow_sigmas": (False,),
            "thresholding": (False,),
            "rescale_betas_zero_snr": (False,),
            **_PLAIN_SIGMAS,
        }
    ),
    "EulerDiscreteScheduler": FlaxScheduler(
        limits={
            "timestep_spacing": ("linspace",),
            "interpolation_type": ("linear",),
            "sigma_min": (None,),
            "sigma_max": (None,),
            "final_sigmas_type": ("zero",),
            "rescale_betas_zero_snr": (False,),
            **_PLAIN_SIGMAS,
        }
    ),
    "PNDMScheduler": FlaxScheduler(limits={"timestep_spacing": ("leading",)}),
    "DDPMScheduler": FlaxScheduler(
        refusal="that of diffusers for Flax calls a function that JAX has removed"
    ),
    "LMSDiscreteScheduler": FlaxScheduler(
        refusal="that of diffusers for Flax cannot be compiled"
    ),
}

#: Parameters of jobs that Flax's pipeline does not have, besides `call.*`.
LACKING = tuple(name for name in EXTRAS if name != "tag")
#: The classes whose images are torch's from the same noise.
SUPPORTED = tuple(name for name, row in FLAX_SCHEDULERS.items() if not row.refusal)


def refuse_input(name: str, got: str) -> str:
    """Say in one sentence that Flax does not have a parameter."""
    return (
        f"{name} must be left out for `backend: flax`, which has no such input, got "
        f"{got}; leave it out, or use `backend: torch`"
    )


def find_problems(
    class_name: str, options: Mapping[str, Any], *, config: Mapping[str, Any]
) -> list[str]:
    """Return why Flax cannot use a scheduler, in sentences; nothing if it can.

    Args:
        class_name: Class in torch, `DDIMScheduler`.
        options: The job's options, which override the config.
        config: The model's original scheduler config.

    Returns:
        Sentences with rule, value and way out.
    """
    row = FLAX_SCHEDULERS.get(class_name, _ABSENT)
    if row.refusal:
        return [
            f"a scheduler of `backend: flax` must be {names_or(SUPPORTED)}, got "
            f"{class_name}: {row.refusal}; name another one, or use `backend: torch`"
        ]
    values = CLASSES[class_name].values(options, config)
    return [
        f"{name} of {class_name} must be {names_or([*map(canonical_json, allowed)])} "
        f"with `backend: flax`, got {canonical_json(values[name])}; change it, or use "
        "`backend: torch`"
        for name, allowed in row.limits.items()
        if values[name] not in allowed
    ]
