"""The lines of a script that makes an image with ControlNets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from producer.reproduction.image_lines import reading_lines
from storage.catalogue.control_pipelines import (
    CONTROL_PIPELINES,
    ControlPipeline,
    controls_of,
)
from storage.job import Job, Model

_NEUTRAL = {"control_guidance_start": 0.0, "control_guidance_end": 1.0}


def control_pipeline(job: Job) -> ControlPipeline | None:
    """Return the pipeline of a job with ControlNets; None for other jobs."""
    if not controls_of(job.extras):
        return None
    return CONTROL_PIPELINES.get(job.model.pipeline or "StableDiffusionPipeline")


def loading_lines(job: Job) -> Iterator[str]:
    """Yield the lines that load the ControlNets; none for most jobs.

    Args:
        job: Its parts say where they are.
    """
    known, controls = control_pipeline(job), controls_of(job.extras)
    if known is None:
        return
    names = _numbered("controlnet", len(controls))
    for name, control in zip(names, controls, strict=True):
        place = _place(job, control.fingerprint)
        given = {"revision": place.commit or place.revision, "variant": place.variant}
        yield f"{name} = {known.net}.from_pretrained("
        yield f"    {_text(place.name)},"
        for key, value in given.items():
            if value:
                yield f"    {key}={_text(value)},"
        yield f"    dtype=torch.{job.dtype},"
        yield "    use_safetensors=True,"
        yield ")"


def control_lines(job: Job) -> Iterator[str]:
    """Yield the lines that read the control images."""
    controls = controls_of(job.extras)
    names = _numbered("control", len(controls))
    for name, control in zip(names, controls, strict=True):
        yield from reading_lines(job, control.image, name)


def loading_argument(job: Job) -> list[str]:
    """Return the argument of the pipeline's loading that ControlNets need."""
    count = len(controls_of(job.extras))
    names = _numbered("controlnet", count)
    return [f"controlnet={_one_or_list(names)}"] if count else []


def control_inputs(job: Job) -> list[str]:
    """Return the arguments of the pipeline's call that ControlNets need."""
    known, controls = control_pipeline(job), controls_of(job.extras)
    if known is None:
        return []
    image = known.image_for(from_image=bool(job.parameter("image")))
    values: Mapping[str, Sequence[Any]] = {
        "controlnet_conditioning_scale": [each.scale for each in controls],
        "control_guidance_start": [each.start for each in controls],
        "control_guidance_end": [each.end for each in controls],
    }
    return [
        f"{image}={_one_or_list(_numbered('control', len(controls)))}",
        *(
            f"{name}={_one_or_list([repr(each) for each in some])}"
            for name, some in values.items()
            if {*some} != {_NEUTRAL.get(name)}
        ),
    ]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{n}" for n in range(1, count + 1)]


def _one_or_list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def _place(job: Job, mark: str) -> Model:
    """Return the first place of a ControlNet, on this machine if there is one."""
    places = [part for part in job.parts if part.fingerprint == mark]
    here = [place for place in places if Path(place.name).is_dir()]
    return (*here, *places, Model(fingerprint=mark, name=mark))[0]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
