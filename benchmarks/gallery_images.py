"""Files for images that plain inserts made: a few pictures under many names."""

import io
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from storage.files.images import ImageFolder, relative_path
from storage.files.thumbnails import encode_thumbnail, thumbnail_path

SIDE_PX = 512
#: Pictures that differ; the others are further names of the same files.
PICTURES = 64


def make_files(folder: Path, keys: Iterable[str]) -> None:
    """Give each of these images its PNG and its thumbnail; those that exist stay."""
    images = ImageFolder(folder)
    made: list[tuple[Path, Path]] = []
    pictures = _pictures()
    for number, key in enumerate(keys):
        png, thumbnail = images.path(key), thumbnail_path(folder, key)
        if number < PICTURES:
            if not thumbnail.exists():
                _write(images, key, next(pictures))
            made.append((png, thumbnail))
        elif not thumbnail.exists():
            png.parent.mkdir(parents=True, exist_ok=True)
            of = made[number % PICTURES]
            for source, name in zip(of, (png, thumbnail), strict=True):
                name.unlink(missing_ok=True)
                os.link(source, name)


def drop_thumbnails(folder: Path, keys: Iterable[str]) -> None:
    """Remove the thumbnails of these images, as if no worker had made them."""
    for key in keys:
        thumbnail_path(folder, key).unlink(missing_ok=True)


def _write(images: ImageFolder, key: str, picture: Image.Image) -> None:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    images.save(key, out.getvalue())
    png = images.path(key)
    thumbnail = images.root / Path(relative_path(key)).with_suffix(".webp")
    thumbnail.write_bytes(encode_thumbnail(picture) or b"")
    written_ns = png.stat().st_mtime_ns
    os.utime(thumbnail, ns=(written_ns, written_ns))


def _pictures() -> Iterator[Image.Image]:
    """Yield pictures of 1/f noise, which is as hard to compress as photographs."""
    rng = np.random.default_rng(16)
    frequency = np.hypot(
        np.fft.fftfreq(SIDE_PX)[:, None], np.fft.rfftfreq(SIDE_PX)[None, :]
    )
    frequency[0, 0] = 1.0
    for _ in itertools.count():
        channels = []
        for _ in range(3):
            noise = np.fft.rfft2(rng.standard_normal((SIDE_PX, SIDE_PX)))
            plane = np.fft.irfft2(noise / frequency, s=(SIDE_PX, SIDE_PX))
            channels.append(np.clip(128 + 45 * plane / plane.std(), 0, 255))
        yield Image.fromarray(np.stack(channels, -1).astype(np.uint8))
