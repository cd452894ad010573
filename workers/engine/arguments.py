"""The arguments of a pipeline's call for one job."""

from typing import Any

import torch

from storage.catalogue.pipeline_calls import fixed_inputs
from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError
from storage.job import Job
from workers.engine.stand_ins import parameters_of


def arguments_of(job: Job, pipe: Any, generator: torch.Generator) -> dict[str, Any]:
    """Return the arguments, as a plain script has them.

    An empty negative prompt is left out: SDXL encodes an empty one, but uses zeros if
    there is none. The guidance is passed even if it is neutral.

    Args:
        job: The job to paint.
        pipe: Its pipeline.
        generator: Draws its noise.

    Raises:
        JobError: The job sets an argument that the pipeline does not take.
    """
    taken = parameters_of(type(pipe).__call__)
    wanted = {
        "negative_prompt": job.negative_prompt,
        "eta": job.parameter("eta"),
        "clip_skip": job.parameter("clip_skip"),
        "guidance_scale": job.guidance > NO_GUIDANCE,
    }
    wanted = {name: value for name, value in wanted.items() if value}
    wanted |= job.call | job.schedule
    for name in wanted.keys() - taken:
        msg = (
            f"{name} must be neutral for {type(pipe).__name__}, which has no such input"
        )
        raise JobError(msg)
    if "guidance_scale" in taken:
        wanted["guidance_scale"] = job.guidance
    # Some pipelines take the size from the input image.
    size = {"width": job.width, "height": job.height}
    return {
        "prompt": job.prompt,  # by name: some pipelines take an image first
        "num_inference_steps": job.steps,
        **{name: side for name, side in size.items() if name in taken},
        "generator": generator,
        "output_type": output_type_of(pipe),
        "return_dict": False,
        **fixed_inputs(type(pipe).__name__),
        **wanted,
    }


def output_type_of(pipe: Any) -> str:
    """Return the kind of pixels to ask a pipeline for: 0 to 1, on the device if it can.

    A pipeline without an image processor returns tensors as its decoder
    does, from -1 to 1.
    """
    return "pt" if hasattr(pipe, "image_processor") else "np"
