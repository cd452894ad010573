"""Pipelines that begin with an image: the siblings of those that begin with noise.

Plain data, by the class of the text-to-image pipeline. A test compares the table with
the installed diffusers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.catalogue.scheduler_options import SchedulerClass

#: What `resize` may be: how an input image of another size gets that of the job.
RESIZES = ("crop", "stretch", "pad")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePipeline:
    """What makes an image from an image, with the parts of a text-to-image pipeline.

    Attributes:
        name: Class in diffusers.
        strength: Its default.
        rounds_up: Whether a part of a step counts as a step: 10 steps at a strength of
            0.55 are 6 of them, and not 5.
        takes_size: Whether it takes a width and a height. Otherwise the image has them.
        lacks: Inputs of the text-to-image pipeline that it does not have.
    """

    name: str
    strength: float
    rounds_up: bool = True
    takes_size: bool = True
    lacks: frozenset[str] = frozenset()

    def skipped(self, steps: int, strength: float) -> int:
        """Return how many of the first steps are left out, computed as diffusers does.

        Args:
            steps: 1 or more, as the user asked.
            strength: Above 0, at most 1.
        """
        if self.rounds_up:
            return int(max(steps - min(steps * strength, steps), 0))
        return max(steps - min(int(steps * strength), steps), 0)


IMAGE_PIPELINES: Mapping[str, ImagePipeline] = {
    "StableDiffusionPipeline": ImagePipeline(
        name="StableDiffusionImg2ImgPipeline",
        strength=0.8,
        rounds_up=False,
        takes_size=False,
        lacks=frozenset({"call.guidance_rescale"}),
    ),
    "StableDiffusionXLPipeline": ImagePipeline(
        name="StableDiffusionXLImg2ImgPipeline",
        strength=0.3,
        rounds_up=False,
        takes_size=False,
    ),
    "StableDiffusion3Pipeline": ImagePipeline(
        name="StableDiffusion3Img2ImgPipeline",
        strength=0.6,
        lacks=frozenset(
            {
                "call.skip_guidance_layers",
                "call.skip_layer_guidance_scale",
                "call.skip_layer_guidance_start",
                "call.skip_layer_guidance_stop",
            }
        ),
    ),
    "FluxPipeline": ImagePipeline(name="FluxImg2ImgPipeline", strength=0.6),
    "QwenImagePipeline": ImagePipeline(name="QwenImageImg2ImgPipeline", strength=0.6),
    "ZImagePipeline": ImagePipeline(name="ZImageImg2ImgPipeline", strength=0.6),
}


def evaluations_skipped(
    pipeline: str | None, of: SchedulerClass, extras: Mapping[str, Any], *, steps: int
) -> int:
    """Return how many calls of the network a job leaves out for its input image.

    Args:
        pipeline: Class of the model's text-to-image pipeline.
        of: The class of the scheduler.
        extras: The job's; without `image` in them, nothing is left out.
        steps: As the user asked.
    """
    known = IMAGE_PIPELINES.get(pipeline or "")
    if known is None or "image" not in extras:
        return 0
    calls_a_step = 2 if of.evaluations == "2n-1" else 1
    return known.skipped(steps, extras["strength"]) * calls_a_step
