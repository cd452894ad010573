"""What pipelines hand to `set_timesteps` of a scheduler, and which classes take it.

Plain data of diffusers 0.42. A test reads the classes from their signatures, and the
pipelines from what small models of them really hand over.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: What each class takes besides the number of steps and the device.
TAKEN: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            *("DDIMScheduler", "DPMSolverSDEScheduler"),
            *("EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
            *("KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "PNDMScheduler"),
            *("SASolverScheduler", "FlowMatchHeunDiscreteScheduler"),
        ),
        frozenset[str](),
    ),
    **dict.fromkeys(
        ("DDPMScheduler", "HeunDiscreteScheduler", "LCMScheduler", "TCDScheduler"),
        frozenset({"timesteps"}),
    ),
    "DEISMultistepScheduler": frozenset({"mu"}),
    **dict.fromkeys(
        ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"),
        frozenset({"mu", "timesteps"}),
    ),
    "EulerDiscreteScheduler": frozenset({"sigmas", "timesteps"}),
    "UniPCMultistepScheduler": frozenset({"mu", "sigmas"}),
    "FlowMatchEulerDiscreteScheduler": frozenset({"mu", "sigmas", "timesteps"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What a pipeline for flow matching hands to `set_timesteps`.

    Attributes:
        sigmas: How: `array`; `numbers`, a list or a tensor, with which UniPC cannot
            compute; empty if it hands none.
        drops_sigmas: Whether it hands none to a scheduler with `use_flow_sigmas`.
        mu: When it hands the shift that it works out: `always`, `never`, or `dynamic`
            if the scheduler has `use_dynamic_shifting`.
        timesteps: Whether it hands timesteps beside the sigmas.
        reads_shift: Whether `base_shift` and `max_shift` of the scheduler decide `mu`.
    """

    sigmas: str = ""
    drops_sigmas: bool = False
    mu: str = "never"
    timesteps: bool = False
    reads_shift: bool = True

    def inputs(self, *, is_flow_solver: bool, is_dynamic: bool) -> frozenset[str]:
        """Return what is handed to a scheduler, of `sigmas`, `mu` and `timesteps`.

        Args:
            is_flow_solver: Whether it has `use_flow_sigmas: true`.
            is_dynamic: Whether it has `use_dynamic_shifting: true`.
        """
        given = {
            "sigmas": bool(self.sigmas) and not (self.drops_sigmas and is_flow_solver),
            "mu": self.mu == "always" or (self.mu == "dynamic" and is_dynamic),
            "timesteps": self.timesteps,
        }
        return frozenset(name for name, is_given in given.items() if is_given)


_SHIFTED = Handed(sigmas="array", mu="always")
_DROPPING = Handed(sigmas="array", drops_sigmas=True, mu="always")
_NOTHING = Handed()

#: By the pipeline's class. Pipelines for flow matching that are not here are not known.
HANDED: Mapping[str, Handed] = {
    "StableDiffusion3Pipeline": Handed(mu="dynamic"),
    "FluxPipeline": _DROPPING,
    "OvisImagePipeline": _DROPPING,
    **dict.fromkeys(
        ("Flux2Pipeline", "Flux2KleinPipeline"),
        Handed(sigmas="array", drops_sigmas=True, mu="always", reads_shift=False),
    ),
    **dict.fromkeys(
        (
            *("QwenImagePipeline", "QwenImage21Pipeline", "Krea2Pipeline"),
            *("ChromaPipeline", "Lumina2Pipeline", "LongCatImagePipeline"),
            "NucleusMoEImagePipeline",
        ),
        _SHIFTED,
    ),
    "ZImagePipeline": Handed(sigmas="numbers", mu="always"),
    "HunyuanImagePipeline": Handed(sigmas="array"),
    "CogView4Pipeline": Handed(sigmas="array", mu="always", timesteps=True),
    "ErnieImagePipeline": Handed(sigmas="numbers"),
    "HiDreamImagePipeline": Handed(mu="always", reads_shift=False),
    **dict.fromkeys(
        (
            *("SanaPipeline", "SanaPAGPipeline", "AuraFlowPipeline"),
            *("LuminaPipeline", "Kandinsky5T2IPipeline", "PRXPipeline"),
            *("PRXPixelPipeline", "StableDiffusion3PAGPipeline"),
        ),
        _NOTHING,
    ),
}
