"""A picture as a PNG file that says how it was made."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from storage.job import Job
from storage.schedulers import NAMES, short_name

#: zlib's fastest: half the time of the default, about 15 % more bytes.
COMPRESS_LEVEL = 1


def encode_png(image: Image, job: Job) -> bytes:
    """Give the bytes of a PNG with its parameters embedded.

    They stand there twice: as the `parameters` text that other tools read, and as
    `nightsweep`, our JSON, from which the job can be made again.
    """
    info = PngInfo()
    info.add_text("parameters", describe(job))
    record = {**job.identity, "key": job.key, "model_name": _model_name(job)}
    info.add_text("nightsweep", json.dumps(record, ensure_ascii=False))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=COMPRESS_LEVEL, pnginfo=info)
    return out.getvalue()


def pixel_sha256(image: Image) -> str:
    """Hash the RGB bytes, row by row: the picture, whatever the file's encoding."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def describe(job: Job) -> str:
    """Give the parameters in the text form that AUTOMATIC1111's web UI began."""
    lines = [job.prompt]
    if job.negative_prompt:
        lines.append(f"Negative prompt: {job.negative_prompt}")
    facts: dict[str, Any] = {
        "Steps": job.steps,
        "Sampler": _sampler(job),
        "CFG scale": f"{job.guidance:g}",
        "Seed": job.seed,
        "Size": f"{job.width}x{job.height}",
        "Model hash": job.model.fingerprint[:10],
        "Model": _model_name(job),
    }
    if job.parameter("clip_skip"):
        facts["Clip skip"] = job.parameter("clip_skip")
    lines.append(
        ", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items())
    )
    return "\n".join(lines)


def _sampler(job: Job) -> str:
    # Where the web UI has a name for it, that one.
    name = short_name(job.scheduler_class, job.scheduler_options, job.extras)
    return NAMES[name].label if name in NAMES else name


def _model_name(job: Job) -> str:
    # Images are passed on: where a folder lies is nobody's business.
    folder = Path(job.model.name)
    return folder.name if folder.is_absolute() else job.model.name


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if any(mark in text for mark in ',:\n"') else text
