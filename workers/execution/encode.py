"""A picture as a PNG file that says how it was made, and as a thumbnail."""

import io
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from storage.catalogue.schedulers import label_of
from storage.errors import DeviceError, ImageStoreError
from storage.files.pictures import pixel_sha256
from storage.files.thumbnails import encode_thumbnail
from storage.job import Job, canonical_json

#: zlib's fastest: half the time of the default, about 15 % more bytes.
COMPRESS_LEVEL = 1

_NEGATIVE = "Negative prompt:"
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What is stored of an image.

    Attributes:
        png: The bytes of its file.
        pixel_sha256: Over the RGB bytes.
        thumbnail: The bytes of its thumbnail; None where it has none.
    """

    png: bytes
    pixel_sha256: str
    thumbnail: bytes | None


def encode(image: Image, job: Job, *, scheduler: str, until: float) -> Encoded:
    """Encode an image and its thumbnail, and hash its pixels.

    Args:
        image: RGB.
        job: How it was made.
        scheduler: Name of the job's scheduler.
        until: When to stop waiting for memory, by `time.perf_counter`.

    Raises:
        ImageStoreError: There is too little memory at present.
        DeviceError: There is still too little, and no time left.
    """
    try:
        return Encoded(
            png=encode_png(image, job, scheduler=scheduler),
            pixel_sha256=pixel_sha256(image),
            thumbnail=encode_thumbnail(image),
        )
    except (MemoryError, OSError) as exc:  # Pillow's encoder raises either
        msg = (
            "Memory must suffice to make a PNG file of an image, but Pillow says: "
            f"{exc!r}; end other programs, and the work goes on by itself."
        )
        is_over = time.perf_counter() >= until
        raise (DeviceError if is_over else ImageStoreError)(msg) from exc


def encode_png(image: Image, job: Job, *, scheduler: str) -> bytes:
    """Return the bytes of a PNG with its parameters embedded.

    They are embedded twice: as the `parameters` text that other tools read, and as
    `nightsweep`, our JSON, from which the job can be made again.
    """
    info = PngInfo()
    info.add_text("parameters", describe(job, scheduler=scheduler))
    record = {
        **job.identity,
        "key": job.key,
        "model_name": _model_name(job),
        "scheduler_name": scheduler,
    }
    info.add_text("nightsweep", _escaped(json.dumps(record, ensure_ascii=False)))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=COMPRESS_LEVEL, pnginfo=info)
    return out.getvalue()


def describe(job: Job, *, scheduler: str) -> str:
    """Return the parameters in the text form that AUTOMATIC1111's web UI introduced.

    Its parser takes the last line for the parameters, and all lines from the first
    that begins with "Negative prompt:" for the negative prompt.
    """
    lines = [_prose(job.prompt)]
    if job.negative_prompt:
        lines.append(f"{_NEGATIVE} {_prose(job.negative_prompt)}")
    facts: dict[str, Any] = {
        "Steps": job.steps,
        "Sampler": label_of(scheduler),
        "CFG scale": _exact(job.guidance),
        "Seed": job.seed,
        "Size": f"{job.width}x{job.height}",
        "Model hash": job.model.fingerprint[:10],
        "Model": _printable(_model_name(job)),
    }
    if skipped := job.parameter("clip_skip"):
        # The web UI counts the layer that is taken, diffusers those that are skipped.
        facts["Clip skip"] = skipped + 1
    if job.parameter("image"):
        facts["Denoising strength"] = _exact(job.parameter("strength"))
    facts |= {name: _as_text(value) for name, value in job.call.items()}
    lines.append(
        ", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items())
    )
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Return a prompt as the web UI's parser reads it back, as far as it can."""
    text = _printable(text.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub(rf"\n\s*(?={_NEGATIVE})", " ", text)


def _printable(text: str) -> str:
    # PNG wants no control characters but line feeds; an escape would reach terminals.
    return _CONTROLS.sub("", text.replace("\t", " "))


def _escaped(text: str) -> str:
    """Escape in JSON the control characters that `json` leaves as they are."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return _exact(value)
    return _printable(value) if isinstance(value, str) else canonical_json(value)


def _exact(number: float) -> str:
    """Return the shortest decimal that reads back as the same number: 7.0 as `7`."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _model_name(job: Job) -> str:
    # Images are shared: where a model's folder lies is nobody's business.
    folder = Path(job.model.name)
    return folder.name if folder.is_absolute() else job.model.name


def _quoted(value: object) -> str:
    text = str(value)
    if any(mark in text for mark in ',:\n"'):
        return json.dumps(text, ensure_ascii=False)
    return text
