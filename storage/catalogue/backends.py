"""What the Flax back end can paint, as plain data: diffusers 0.39, the last with Flax.

Each rule was measured against torch, from the same noise.
"""

from collections.abc import Mapping
from typing import Any

#: The one pipeline that workers of Flax run.
FLAX_PIPELINE = "StableDiffusionPipeline"
#: The precisions of its networks.
FLAX_DTYPES = ("float32", "bfloat16")
#: Schedulers whose images equal those of torch.
_FLAX_SCHEDULERS = ("DDIMScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler")
#: Why others do not run, though Flax has a class for them.
_BROKEN = {
    "EulerDiscreteScheduler": "its images differ from torch's by 0.3 of the range",
    "LMSDiscreteScheduler": "its steps cannot be traced by JAX",
    "DDPMScheduler": "its steps call what JAX 0.10 no longer has",
}


def refuse_flax_scheduler(
    class_name: str, _options: Mapping[str, Any], *, eta: float = 0.0
) -> str | None:
    """Say in one sentence why Flax cannot run a scheduler; None if it can.

    Args:
        class_name: The class in diffusers.
        _options: Its options.
        eta: The eta that its name sets.
    """
    if class_name in _FLAX_SCHEDULERS and not eta:
        return None
    why = _BROKEN.get(class_name, "diffusers has no such class for Flax")
    if eta:
        why = f"Flax cannot set its eta of {eta:g}"
    return (
        f"a scheduler of `backend: flax` must be one of {', '.join(_FLAX_SCHEDULERS)},"
        f" got {class_name}: {why}; name another, or use `backend: torch`"
    )
