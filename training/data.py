"""Draw the captioned pictures that the demo model learns from."""

import json
import math
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from training.world import COLOURS, Scene, Thing, caption_of, labels_of, sample_scene

#: Width and height of a picture, in pixels.
WIDTH_PX = 64
#: Pictures are drawn this many times larger, then averaged down, for smooth edges.
OVERSAMPLING = 4
#: Each channel of a colour varies by this much, of 255, so that "red" is a range.
COLOUR_JITTER = 8
#: Radius of a ring's hole, relative to the ring's.
RING_HOLE = 0.56


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Pictures with their captions and labels.

    Attributes:
        images: (count, 64, 64, 3), uint8, read from disk as needed.
        captions: One for each picture.
        labels: (count, 7), int64, the columns of `training.world.LABELS`.
    """

    images: np.ndarray
    captions: list[str]
    labels: torch.Tensor


def _outline(shape: str) -> list[tuple[float, float]]:
    """Return the corners of a shape of radius 1 around (0, 0), y downwards."""
    if shape == "square":
        return [(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)]
    if shape == "triangle":
        return [_polar(1.1, -90 + 120 * k) for k in range(3)]
    if shape == "star":
        return [_polar(0.48 if k % 2 else 1.12, -90 + 36 * k) for k in range(10)]
    if shape == "diamond":
        return [(0, -1.12), (0.78, 0), (0, 1.12), (-0.78, 0)]
    if shape == "cross":
        quarter = ((0.33, -1.0), (0.33, -0.33), (1.0, -0.33))
        return [_turn(p, k * math.pi / 2) for k in range(4) for p in quarter]
    return [_heart(2 * math.pi * k / 64) for k in range(64)]


def _polar(radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return radius * math.cos(angle), radius * math.sin(angle)


def _heart(t: float) -> tuple[float, float]:
    y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return 1.04 * math.sin(t) ** 3, -y / 15.5 - 0.1


def _turn(point: tuple[float, float], angle: float) -> tuple[float, float]:
    x, y = point
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos


def _mask(thing: Thing) -> Image.Image:
    """Paint a thing white on black, in the oversampled size."""
    mask = Image.new("L", (WIDTH_PX * OVERSAMPLING,) * 2)
    pen = ImageDraw.Draw(mask)
    x, y, radius = (OVERSAMPLING * v for v in (thing.x, thing.y, thing.radius))
    if thing.shape in {"circle", "ring"}:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        hole = RING_HOLE * radius
        if thing.shape == "ring":
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
        return mask
    turned = [_turn(point, thing.rotation) for point in _outline(thing.shape)]
    pen.polygon([(x + radius * dx, y + radius * dy) for dx, dy in turned], fill=255)
    return mask


def draw(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: What to draw.
        rng: Draws the small differences in colour.

    Returns:
        The picture: (64, 64, 3), uint8.
    """
    canvas = Image.new(
        "RGB", (WIDTH_PX * OVERSAMPLING,) * 2, _shade(scene.background, rng)
    )
    for thing in scene.things:
        canvas.paste(_shade(thing.colour, rng), mask=_mask(thing))
    return np.asarray(canvas.reduce(OVERSAMPLING))


def _shade(colour: str, rng: np.random.Generator) -> tuple[int, ...]:
    jitter = rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, 3)
    shade = np.clip(np.array(COLOURS[colour]) + jitter, 0, 255)
    return tuple(int(channel) for channel in shade)


def _draw_numbered(number: int, *, seed: int) -> tuple[np.ndarray, str, list[int]]:
    # Each picture has its own generator, so it depends neither on the number of
    # processes nor on the size of the set.
    rng = np.random.default_rng([seed, number])
    scene = sample_scene(rng)
    return draw(scene, rng), caption_of(scene, rng), labels_of(scene)


def make_pictures(folder: Path, *, count: int, seed: int, processes: int) -> None:
    """Draw `count` pictures to a folder, unless they are there already."""
    if (folder / "captions.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    one = partial(_draw_numbered, seed=seed)
    if processes == 1:
        rows: Iterable[tuple[np.ndarray, str, list[int]]] = map(one, range(count))
        _write(folder, list(rows))
        return
    with ProcessPoolExecutor(processes) as pool:
        _write(folder, list(pool.map(one, range(count), chunksize=250)))


def _write(folder: Path, rows: list[tuple[np.ndarray, str, list[int]]]) -> None:
    images, captions, labels = zip(*rows, strict=True)
    np.save(folder / "images.npy", np.stack(images))
    np.save(folder / "labels.npy", np.array(labels, dtype=np.int64))
    # Written last, and by renaming: if it is there, the set is complete.
    unfinished = folder / "captions.json.part"
    unfinished.write_text(json.dumps(captions), encoding="utf-8")
    unfinished.replace(folder / "captions.json")


def load_pictures(folder: Path) -> PictureSet:
    """Open a folder made by `make_pictures`."""
    return PictureSet(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        captions=json.loads((folder / "captions.json").read_text(encoding="utf-8")),
        labels=torch.from_numpy(np.load(folder / "labels.npy")),
    )


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Convert (count, h, w, 3), uint8, to (count, 3, h, w), float32, -1 to 1.

    The result is in channels_last layout, which makes convolutions on a CPU twice as
    fast.
    """
    pixels = torch.from_numpy(np.array(images, order="C"))
    return pixels.permute(0, 3, 1, 2) / 127.5 - 1
