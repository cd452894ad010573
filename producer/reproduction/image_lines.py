"""The lines of a script that begins with an image."""

from collections.abc import Iterator
from pathlib import Path

from storage.catalogue.image_pipelines import IMAGE_PIPELINES, ImagePipeline
from storage.files.inputs import path_of_input
from storage.files.places import find_local
from storage.job import Job
from storage.settings import read_settings

#: What `storage.files.inputs.resized` does, in a line.
_RESIZING = {
    "crop": "ImageOps.fit({name}, {size})",
    "pad": "ImageOps.pad({name}, {size})",
    "stretch": "{name}.resize({size})",
}


def image_pipeline(job: Job) -> ImagePipeline | None:
    """Return the pipeline of a job that begins with an image; None for other jobs."""
    if not job.parameter("image"):
        return None
    return IMAGE_PIPELINES.get(job.model.pipeline or "StableDiffusionPipeline")


def image_imports(job: Job) -> Iterator[str]:
    """Yield the imports besides those of other scripts."""
    if job.parameter("resize") in ("crop", "pad"):
        yield "from PIL import ImageOps"
    if job.parameter("image") or job.parameter("controlnet"):
        yield "from diffusers.utils import load_image"


def image_lines(job: Job) -> Iterator[str]:
    """Yield the lines that read the image that a job begins with."""
    if digest := job.parameter("image"):
        yield from reading_lines(job, digest, "begin")


def reading_lines(job: Job, digest: str, name: str) -> Iterator[str]:
    """Yield the lines that read an input image of a job.

    Args:
        job: The job.
        digest: Of the image.
        name: The variable that holds it.
    """
    images, path = read_settings().images, path_of_input(digest)
    if not isinstance(images, Path):
        yield f"# A copy of {images}/{path}; the cache may drop it."
    yield f'{name} = load_image("{find_local(images, path) or f"{images}/{path}"}")'
    if how := job.parameter("resize"):
        size = f"({job.width}, {job.height})"
        yield f"{name} = {_RESIZING[how].format(name=name, size=size)}"


def image_inputs(job: Job) -> list[str]:
    """Return the arguments of the pipeline's call that the image needs."""
    if not job.parameter("image"):
        return []
    return ["image=begin", f"strength={job.parameter('strength')}"]
