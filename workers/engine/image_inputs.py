"""Jobs that begin with an image: their pipeline, and its arguments."""

from typing import Any

import diffusers

from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.errors import JobError
from storage.files.inputs import InputFolder, resized
from storage.job import Job


def image_pipeline(pipe: Any) -> Any:
    """Return the image-to-image sibling of a pipeline, which shares its parts.

    It is what `from_pretrained` of that class makes of the same model. `from_pipe`
    would give all parts one dtype.

    Raises:
        JobError: diffusers has none.
    """
    known = IMAGE_PIPELINES.get(type(pipe).__name__)
    if known is None:
        msg = (
            f"image must be left out for a {type(pipe).__name__}, which has no"
            " image-to-image pipeline; name another model"
        )
        raise JobError(msg)
    sibling = getattr(diffusers, known.name)
    parts, others = sibling._get_signature_keys(sibling)
    given = {**pipe.config, **pipe.components}
    made = sibling(**{k: v for k, v in given.items() if k in {*parts, *others}})
    made.set_progress_bar_config(disable=True)
    return made


def image_arguments(job: Job, pipe: Any, inputs: InputFolder | None) -> dict[str, Any]:
    """Return the arguments of a call that begins with an image.

    Args:
        job: The job.
        pipe: Its pipeline.
        inputs: Where its input image is.

    Raises:
        JobError: The image is not there, or has another size.
    """
    if inputs is None:
        msg = f"{type(pipe).__name__} needs an image folder for the job's input image"
        raise JobError(msg)
    image = inputs.read(job.parameter("image"))
    size = (job.width, job.height)
    return {
        "image": resized(image, size, job.parameter("resize")),
        "strength": job.parameter("strength"),
    }
