"""What the Flax back end can paint, as plain data.

It is that of diffusers 0.39, the last version with Flax.
"""

from collections.abc import Mapping
from typing import Any

#: The one pipeline that workers of Flax run.
FLAX_PIPELINE = "StableDiffusionPipeline"
#: The precisions of its networks.
FLAX_DTYPES = ("float32", "bfloat16")
#: Schedulers whose images equal those of torch from the same noise, as measured.
_SUPPORTED = ("DDIMScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler")
#: Why others do not run, though Flax has a class for them; measured likewise.
_BROKEN = {
    "EulerDiscreteScheduler": "its images differ from torch's by 0.3 of the range",
    "LMSDiscreteScheduler": "that of diffusers for Flax cannot be compiled",
    "DDPMScheduler": "that of diffusers for Flax calls what JAX 0.10 no longer has",
}


def find_problems(
    class_name: str, _options: Mapping[str, Any], *, config: Mapping[str, Any]
) -> list[str]:
    """Return why Flax cannot use a scheduler, in sentences; nothing if it can.

    Args:
        class_name: The class in diffusers.
        _options: Its options.
        config: The model's own scheduler config.
    """
    del config
    if class_name in _SUPPORTED:
        return []
    why = _BROKEN.get(class_name, "diffusers has none for Flax")
    return [
        f"a scheduler of `backend: flax` must be one of {', '.join(_SUPPORTED)}, got "
        f"{class_name}: {why}; name another, or use `backend: torch`"
    ]
