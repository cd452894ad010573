"""Pipelines with ControlNets: the siblings of those without.

Plain data, by the class of the text-to-image pipeline. A test compares the table with
the installed diffusers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPipeline:
    """What makes an image with ControlNets, with the parts of another pipeline.

    Attributes:
        name: Class in diffusers.
        net: Class of its ControlNets.
        part: Component of the model that the ControlNets must fit.
        fits: Settings that a ControlNet and that component must have in common.
        image: The input that takes the control image.
        lacks: Inputs of the text-to-image pipeline that it does not have.
        from_image: Class in diffusers for jobs that begin with an image, too. It takes
            the control image as `control_image`.
        from_image_lacks: Inputs of the text-to-image pipeline that this one does not
            have.
        several_from_image: Whether that class takes several ControlNets.
    """

    name: str
    net: str
    part: str
    fits: tuple[str, ...]
    image: str
    lacks: frozenset[str] = frozenset()
    from_image: str
    from_image_lacks: frozenset[str] = frozenset()
    several_from_image: bool = True

    def name_for(self, *, from_image: bool) -> str:
        """Return the class for jobs that begin with an image, or for others."""
        return self.from_image if from_image else self.name

    def image_for(self, *, from_image: bool) -> str:
        """Return the input that takes the control image."""
        return "control_image" if from_image else self.image

    def lacks_for(self, *, from_image: bool) -> frozenset[str]:
        """Return the inputs of the text-to-image pipeline that are missing."""
        return self.from_image_lacks if from_image else self.lacks


#: Settings of a UNet that decide the shapes of what a ControlNet reads and answers.
_OF_UNET = (
    *("cross_attention_dim", "block_out_channels", "layers_per_block"),
    *("in_channels", "addition_embed_type"),
)
_RESCALE = frozenset({"call.guidance_rescale"})

CONTROL_PIPELINES: Mapping[str, ControlPipeline] = {
    "StableDiffusionPipeline": ControlPipeline(
        name="StableDiffusionControlNetPipeline",
        net="ControlNetModel",
        part="unet",
        fits=_OF_UNET,
        image="image",
        lacks=_RESCALE,
        from_image="StableDiffusionControlNetImg2ImgPipeline",
        from_image_lacks=_RESCALE,
    ),
    "StableDiffusionXLPipeline": ControlPipeline(
        name="StableDiffusionXLControlNetPipeline",
        net="ControlNetModel",
        part="unet",
        fits=_OF_UNET,
        image="image",
        lacks=_RESCALE,
        from_image="StableDiffusionXLControlNetImg2ImgPipeline",
        from_image_lacks=_RESCALE,
    ),
    "FluxPipeline": ControlPipeline(
        name="FluxControlNetPipeline",
        net="FluxControlNetModel",
        part="transformer",
        fits=(
            *("in_channels", "attention_head_dim", "num_attention_heads"),
            *("joint_attention_dim", "pooled_projection_dim", "axes_dims_rope"),
        ),
        image="control_image",
        from_image="FluxControlNetImg2ImgPipeline",
        from_image_lacks=frozenset({"call.true_cfg_scale"}),
        several_from_image=False,  # it forgets them, and fails
    ),
}

#: Why pipelines that have ControlNets in diffusers are not in the table.
UNSUPPORTED: Mapping[str, str] = {
    "StableDiffusion3Pipeline": (
        "diffusers draws noise for the control image from torch's global generator"
        " there, so that no image could be made again"
    ),
}


class Control(NamedTuple):
    """A ControlNet of a job, as a row of the extra `controlnet` has it.

    Attributes:
        fingerprint: Of its weights.
        image: SHA-256 of the control image, as for input images.
        scale: How much its answers count.
        start: The share of the steps before it counts, 0 to 1.
        end: The share of the steps after which it counts no more, 0 to 1.
    """

    fingerprint: str
    image: str
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


def controls_of(extras: Mapping[str, Any]) -> tuple[Control, ...]:
    """Return the ControlNets of a job, in the order in which they are called.

    Args:
        extras: The job's.
    """
    return tuple(Control(*row) for row in extras.get("controlnet", ()))


def networks_called(extras: Mapping[str, Any]) -> int:
    """Return how many networks a job calls where others call one.

    Args:
        extras: The job's.
    """
    return 1 + len(extras.get("controlnet", ()))
