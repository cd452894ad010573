"""The lines of a script that begins with an image."""

from collections.abc import Iterator

from storage.catalogue.image_pipelines import IMAGE_PIPELINES, ImagePipeline
from storage.files.inputs import InputFolder
from storage.job import Job
from storage.settings import read_settings

#: What `storage.files.inputs.resized` does, in a line.
_RESIZING = {
    "crop": "ImageOps.fit(begin, {size})",
    "pad": "ImageOps.pad(begin, {size})",
    "stretch": "begin.resize({size})",
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
    if job.parameter("image"):
        yield "from diffusers.utils import load_image"


def image_lines(job: Job) -> Iterator[str]:
    """Yield the lines that read the image that a job begins with."""
    if not (digest := job.parameter("image")):
        return
    file = InputFolder(read_settings().images).path(digest)
    yield f'begin = load_image("{file}")'
    if how := job.parameter("resize"):
        size = f"({job.width}, {job.height})"
        yield f"begin = {_RESIZING[how].format(size=size)}"


def image_inputs(job: Job) -> list[str]:
    """Return the arguments of the pipeline's call that the image needs."""
    if not job.parameter("image"):
        return []
    return ["image=begin", f"strength={job.parameter('strength')}"]
