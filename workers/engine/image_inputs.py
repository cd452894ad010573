"""Jobs that begin with an image or follow one: their pipeline, and its arguments."""

from collections.abc import Sequence
from typing import Any

import diffusers

from storage.catalogue.control_pipelines import CONTROL_PIPELINES, controls_of
from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.errors import JobError
from storage.files.inputs import InputFolder, resized
from storage.job import Job


def pipeline_for(pipe: Any, *, from_image: bool, nets: Sequence[Any] = ()) -> Any:
    """Return the sibling of a pipeline that takes images, which shares its parts.

    It is what `from_pretrained` of that class makes of the same model. `from_pipe`
    would give all parts one dtype.

    Args:
        pipe: A text-to-image pipeline.
        from_image: Whether jobs begin with an image.
        nets: Its ControlNets.

    Raises:
        JobError: diffusers has none.
    """
    sibling = getattr(diffusers, _name_of(pipe, from_image=from_image, nets=nets))
    parts, others = sibling._get_signature_keys(sibling)
    given = {**pipe.config, **pipe.components}
    if nets:
        given["controlnet"] = [*nets] if len(nets) > 1 else nets[0]
    made = sibling(**{k: v for k, v in given.items() if k in {*parts, *others}})
    made.set_progress_bar_config(disable=True)
    return made


def image_arguments(job: Job, inputs: InputFolder | None) -> dict[str, Any]:
    """Return the arguments of a call that come from images; none for most jobs.

    Args:
        job: The job.
        inputs: Where its input images are.

    Raises:
        JobError: An image is not there, or has another size.
    """
    arguments: dict[str, Any] = {}
    if digest := job.parameter("image"):
        arguments["image"] = _read(job, digest, inputs)
        arguments["strength"] = job.parameter("strength")
    return arguments | _control_arguments(job, inputs)


def _control_arguments(job: Job, inputs: InputFolder | None) -> dict[str, Any]:
    """Return the arguments for ControlNets: one has values, several have lists."""
    controls = controls_of(job.extras)
    if not controls:
        return {}
    known = CONTROL_PIPELINES[job.model.pipeline or ""]
    image = known.image_for(from_image=bool(job.parameter("image")))
    values = {
        image: [_read(job, each.image, inputs) for each in controls],
        "controlnet_conditioning_scale": [each.scale for each in controls],
        "control_guidance_start": [each.start for each in controls],
        "control_guidance_end": [each.end for each in controls],
    }
    if len(controls) > 1:
        return values
    return {name: value for name, [value] in values.items()}


def _name_of(pipe: Any, *, from_image: bool, nets: Sequence[Any]) -> str:
    own = type(pipe).__name__
    if nets and (with_nets := CONTROL_PIPELINES.get(own)):
        return with_nets.name_for(from_image=from_image)
    if not nets and (known := IMAGE_PIPELINES.get(own)):
        return known.name
    what, kind = ("controlnet", "ControlNet") if nets else ("image", "image-to-image")
    msg = (
        f"{what} must be left out for a {own}, which has no {kind} pipeline; name"
        " another model"
    )
    raise JobError(msg)


def _read(job: Job, digest: str, inputs: InputFolder | None) -> Any:
    if inputs is None:
        msg = f"a {job.model.pipeline} needs an image folder for the job's input images"
        raise JobError(msg)
    size = (job.width, job.height)
    return resized(inputs.read(digest), size, job.parameter("resize"))
