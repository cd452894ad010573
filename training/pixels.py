"""Find the colours of a picture from its pixels."""

from dataclasses import dataclass

import numpy as np

from training.world import COLOUR_NAMES, COLOURS

#: Width of the frame of a picture, where there is only background, in pixels.
FRAME_PX = 3
#: An object with fewer pixels counts as absent.
LEAST_PX = 40

_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The colours of a picture.

    Attributes:
        background: The most frequent colour of its frame.
        colour: The most frequent other colour; empty if there is none.
        purity: Share of that colour in all pixels that are not background.
    """

    background: str
    colour: str
    purity: float


def nearest_colours(image: np.ndarray) -> np.ndarray:
    """Return the nearest named colour of each pixel.

    Args:
        image: (height, width, 3), float32, 0 to 1.

    Returns:
        (height, width), int64, indices into `training.world.COLOUR_NAMES`.
    """
    distance: np.ndarray = ((image[..., None, :] * 255 - _PALETTE) ** 2).sum(-1)
    numbers: np.ndarray = distance.argmin(-1)
    return numbers


def read_picture(image: np.ndarray) -> Reading:
    """Return background and object colour of a picture: (h, w, 3), 0 to 1."""
    names = nearest_colours(image)
    frame = np.ones(names.shape, dtype=bool)
    frame[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = False
    background = int(np.bincount(names[frame]).argmax())
    counts = np.bincount(names[names != background], minlength=len(COLOUR_NAMES))
    colour = int(counts.argmax())
    if counts[colour] < LEAST_PX:
        return Reading(background=COLOUR_NAMES[background], colour="", purity=0.0)
    return Reading(
        background=COLOUR_NAMES[background],
        colour=COLOUR_NAMES[colour],
        purity=float(counts[colour] / counts.sum()),
    )


def keep_half(image: np.ndarray, *, side: str) -> np.ndarray:
    """Paint one half of a square picture in the colour of its upper edge.

    Args:
        image: (height, width, 3), float32, 0 to 1.
        side: The half that stays: left, right, top or bottom.
    """
    middle = image.shape[0] // 2
    halves = {
        "left": (slice(None), slice(middle, None)),
        "right": (slice(None), slice(None, middle)),
        "top": (slice(middle, None),),
        "bottom": (slice(None, middle),),
    }
    painted = image.copy()
    painted[halves[side]] = np.median(image[:FRAME_PX].reshape(-1, 3), axis=0)
    return painted
