"""A picture as a PNG file that says how it was made."""

import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from storage.errors import DeviceError, ImageStoreError
from storage.job import Job
from storage.schedulers import NAMES, short_name

#: zlib's fastest: half the time of the default, about 15 % more bytes.
COMPRESS_LEVEL = 1


def encode(image: Image, job: Job, *, until: float) -> tuple[bytes, str]:
    """Give the bytes of an image's file, and the hash of its pixels.

    Args:
        image: RGB.
        job: How it was made.
        until: When to wait for memory no more; of `time.perf_counter`.

    Raises:
        ImageStoreError: There is too little memory at present.
        DeviceError: There is still too little, and no time left.
    """
    try:
        return encode_png(image, job), pixel_sha256(image)
    except (MemoryError, OSError) as exc:  # Pillow's encoder says it with either
        msg = (
            "Memory must suffice to make a PNG file of an image, but Pillow says: "
            f"{exc!r}; end other programs, and the work goes on by itself."
        )
        is_over = time.perf_counter() >= until
        raise (DeviceError if is_over else ImageStoreError)(msg) from exc


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
