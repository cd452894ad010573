"""Pictures that say which job they are of, and what a screen shows of them."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from playwright.sync_api import FloatRect, Page

from storage.job import Job

#: Values of the sweep `palette`, each the colour of a quarter of the picture.
PALETTE_AXES: Mapping[str, Sequence[Any]] = {
    "prompt": ("a red fox in fog", "a blue boat at night"),
    "scheduler": ("ddim", "euler", "heun", "unipc"),
    "steps": (4, 8, 12, 20),
    "seed": (0, 1, 2),
}
CLASSES = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
)
COLOURS = ((220, 40, 40), (30, 170, 60), (40, 80, 220), (235, 205, 30))
#: No channel of what is shown may be farther from its colour: WebP, and scaling.
FARTHEST = 45
#: Where each quarter of a picture is, in halves of its sides.
QUARTERS = {"scheduler": (0, 0), "steps": (1, 0), "prompt": (0, 1), "seed": (1, 1)}


def paint_quarters(job: Job) -> Image.Image:
    """Paint each quarter in the colour of one value of the job."""
    values = {
        "scheduler": CLASSES.index(job.scheduler_class),
        "steps": PALETTE_AXES["steps"].index(job.steps),
        "prompt": PALETTE_AXES["prompt"].index(job.prompt),
        "seed": job.seed,
    }
    picture = Image.new("RGB", (job.width, job.height))
    wide, high = job.width // 2, job.height // 2
    for axis, (x, y) in QUARTERS.items():
        box = (x * wide, y * high, (x + 1) * wide, (y + 1) * high)
        picture.paste(COLOURS[values[axis]], box)
    return picture


def shown_values(page: Page, box: FloatRect) -> dict[str, Any]:
    """Return the value of each axis, as its quarter of a box on the screen shows it.

    None for a quarter that has none of the colours.
    """
    screen = screenshot(page, box)
    return {
        axis: _value(axis, screen, (0.25 + x / 2, 0.25 + y / 2))
        for axis, (x, y) in QUARTERS.items()
    }


def shown_value(page: Page, box: FloatRect, axis: str) -> Any:
    """Return the value of an axis whose colour fills a box on the screen, or None."""
    screen = screenshot(page, box)
    corners = [(x, y) for x in (0.2, 0.5, 0.8) for y in (0.2, 0.5, 0.8)]
    found = {_value(axis, screen, corner) for corner in corners}
    return found.pop() if len(found) == 1 else None


def screenshot(page: Page, box: FloatRect) -> Image.Image:
    """Return what a box on the screen shows."""
    taken = page.screenshot(clip=box)
    return Image.open(io.BytesIO(taken)).convert("RGB")


def _value(axis: str, screen: Image.Image, at: tuple[float, float]) -> Any:
    x, y = (int(part * side) for part, side in zip(at, screen.size, strict=True))
    pixel = screen.getpixel((x, y))
    assert isinstance(pixel, tuple)
    for value, colour in zip(PALETTE_AXES[axis], COLOURS, strict=False):
        if all(abs(a - b) <= FARTHEST for a, b in zip(pixel, colour, strict=True)):
            return value
    return None
