"""How far the pixels of two images are apart."""

from dataclasses import dataclass

from PIL import Image, ImageChops


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two images of one size.

    Attributes:
        most: Largest difference of a channel of a pixel, in levels: 0 to 255.
        mean: Mean difference of all channels of all pixels, in levels.
        share: Share of the pixels that differ in any channel, 0 to 1.
    """

    most: int
    mean: float
    share: float


def compare(one: Image.Image, other: Image.Image) -> Difference:
    """Compare two RGB images of one size."""
    apart = ImageChops.difference(one, other)
    red, green, blue = apart.split()
    widest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    levels = widest.histogram()
    pixels = one.width * one.height
    total = sum(number % 256 * count for number, count in enumerate(apart.histogram()))
    return Difference(
        most=max(level for level, count in enumerate(levels) if count),
        mean=total / (3 * pixels),
        share=1 - levels[0] / pixels,
    )
