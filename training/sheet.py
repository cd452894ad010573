"""The contact sheet: pictures of the demo model with their captions below."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PROMPTS = (
    "a red circle on a white background",
    "a blue square on a yellow background",
    "a green star on a pink background",
    "a large white heart on a red background",
    "a small cyan diamond on a black background",
    "an orange ring on a blue background",
    "a purple star on a cyan background",
    "a green heart on a black background",
    "a yellow triangle on a purple background",
    "a black cross on a green background",
    "a red circle and a blue square on a white background",
    "a yellow star above a pink ring on a black background",
)
COLUMNS = 6
CELL_PX, GAP_PX, TEXT_PX = 100, 8, 38
#: Index of the prompt that is also painted with increasing numbers of steps.
STEPS_PROMPT = 10
STEPS_SHOWN = (2, 3, 4, 8, 12, 20)


def paint_sheet(paint: Callable[..., np.ndarray], path: Path) -> None:
    """Paint all prompts, and one of them with increasing steps, and save them as PNG.

    Args:
        paint: Takes prompts, seeds and, by name, steps; returns pictures,
            (count, 64, 64, 3), 0 to 1.
        path: The file to write.
    """
    images = list(paint(PROMPTS, range(len(PROMPTS))))
    labels = list(PROMPTS)
    for steps in STEPS_SHOWN:
        images += list(paint([PROMPTS[STEPS_PROMPT]], [STEPS_PROMPT], steps=steps))
        labels.append(f"{steps} steps: {PROMPTS[STEPS_PROMPT]}")
    _lay_out(images, labels).save(path, optimize=True)


def _lay_out(images: list[np.ndarray], labels: list[str]) -> Image.Image:
    pitch_x, pitch_y = CELL_PX + GAP_PX, CELL_PX + TEXT_PX + GAP_PX
    rows = -(-len(images) // COLUMNS)
    size = (COLUMNS * pitch_x + GAP_PX, rows * pitch_y + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=9)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        x = GAP_PX + number % COLUMNS * pitch_x
        y = GAP_PX + number // COLUMNS * pitch_y
        cell = Image.fromarray((image * 255).round().astype(np.uint8))
        sheet.paste(cell.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC), (x, y))
        pen.rectangle((x, y, x + CELL_PX - 1, y + CELL_PX - 1), outline="lightgrey")
        lines = "\n".join(_wrap(label, width=22))
        pen.multiline_text((x, y + CELL_PX + 2), lines, "black", font, spacing=1)
    return sheet


def _wrap(text: str, *, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
