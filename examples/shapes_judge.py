"""A metric for the pictures of `builtin:shapes`, for which the truth is known.

    ./examples/shapes_judge.py:ShapesJudge

It reads the picture by its pixels: a third of the score is for the background, a third
for the colours and a third for the shapes that the prompt asks for. A prompt without a
background is judged by the other two. Size words are not judged.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.ndimage import label

COLOURS = {
    "red": (220, 38, 38),
    "orange": (249, 130, 22),
    "yellow": (250, 215, 30),
    "green": (34, 160, 70),
    "cyan": (40, 200, 215),
    "blue": (35, 75, 220),
    "purple": (130, 50, 190),
    "pink": (245, 130, 190),
    "white": (248, 248, 248),
    "black": (20, 20, 24),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond")
_NAMES = tuple(COLOURS)
_PALETTE = np.array(list(COLOURS.values()), dtype=float)

_THING = rf"an? (?:small |large )?({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
_PROMPT = re.compile(
    rf"{_THING}(?: (and|above) {_THING})?(?: on an? ({'|'.join(COLOURS)}) background)?"
)

#: Share of the picture's side that only the background reaches, at each edge.
_FRAME = 3 / 64
#: Share of the picture below which nothing counts as a thing.
_LEAST = 0.01
#: Overlap with the best outline, area of both over area of either, from which on a
#: thing has a shape at all.
_OVERLAP = 0.6
#: Outlines are drawn this many pixels to the radius, up to this many radii away.
_DETAIL, _REACH = 40, 1.3
#: Things may be turned by this much, in radians.
_TURNS = np.linspace(-0.2, 0.2, 5)


class ShapesJudge:
    """The share of background, colours and shapes that are as asked for, 0 to 1."""

    name = "shapes"
    version = "1"
    higher_is_better = True
    needs_reference = False
    batch_size = 16

    def __init__(self, device: str) -> None:
        """Need no device: it is all numpy."""

    def score(self, samples: Sequence[Any]) -> list[float]:
        """Return the scores; a prompt that the model does not know is an error."""
        return [judge(sample.image, sample.prompt) for sample in samples]


def judge(image: np.ndarray, prompt: str) -> float:
    """Score one picture: (height, width, 3), uint8.

    Raises:
        ValueError: The prompt is none that the demo model knows.
    """
    asked = _PROMPT.fullmatch(" ".join(prompt.lower().split()))
    if asked is None:
        msg = f"a prompt is like 'a red circle on a blue background', got {prompt!r}"
        raise ValueError(msg)
    colour, shape, relation, colour2, shape2, background = asked.groups()
    picture = _Picture.of(image)
    wanted = [(colour, shape), (colour2, shape2)][: 2 if relation else 1]
    found = picture.things(relation)
    pairs = list(zip(found, wanted, strict=True))
    rights = [
        float(np.mean([one[part] == other[part] for one, other in pairs]))
        for part in (0, 1)
    ]
    if background:
        rights.append(float(picture.background == background))
    return float(np.mean(rights))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture with the number of the nearest named colour of each pixel."""

    pixels: np.ndarray
    numbers: np.ndarray
    ground: int

    @classmethod
    def of(cls, image: np.ndarray) -> "_Picture":
        pixels = image.astype(float)
        numbers = np.square(pixels[:, :, None] - _PALETTE).sum(-1).argmin(-1)
        edge = max(1, round(_FRAME * min(numbers.shape)))
        frame = np.ones(numbers.shape, dtype=bool)
        frame[edge:-edge, edge:-edge] = False
        ground = int(np.bincount(numbers[frame]).argmax())
        return cls(pixels=pixels, numbers=numbers, ground=ground)

    @property
    def background(self) -> str:
        return _NAMES[self.ground]

    def things(self, relation: str | None) -> list[tuple[str | None, str | None]]:
        """Return colour and shape of each thing; None for what is not there."""
        parts = list(_parts(self.numbers.shape, relation))
        colours = [self._colour_in(part) for part in parts]
        return [
            (None, None)
            if colour is None
            else (_NAMES[colour], self._shape_of(colour, colours, part))
            for colour, part in zip(colours, parts, strict=True)
        ]

    def _colour_in(self, part: np.ndarray) -> int | None:
        """Return the most frequent colour in a part that is not the background's."""
        counts = np.bincount(self.numbers[part], minlength=len(_NAMES))
        counts[self.ground] = 0
        most = int(counts.argmax())
        return most if counts[most] >= _LEAST * self.numbers.size else None

    def _shape_of(
        self, colour: int, colours: Sequence[int | None], part: np.ndarray
    ) -> str | None:
        others = {self.ground, *(each for each in colours if each is not None)}
        kinds = [colour, *sorted(others - {colour})]
        shades = np.array([self._shade(kind) for kind in kinds])
        nearest = np.square(self.pixels[:, :, None] - shades).sum(-1).argmin(-1)
        mask = nearest == 0
        if colours.count(colour) > 1:
            mask &= part
        return name_shape(_largest(mask, part))

    def _shade(self, colour: int) -> np.ndarray:
        """Return the usual shade of a colour in this picture."""
        shade: np.ndarray = np.median(self.pixels[self.numbers == colour], axis=0)
        return shade


def _parts(shape: tuple[int, ...], relation: str | None) -> Iterator[np.ndarray]:
    """Yield where the first and the second thing must be: halves, or all for one."""
    whole = np.ones(shape, dtype=bool)
    if relation is None:
        yield whole
        return
    half = whole.copy()
    if relation == "and":
        half[:, shape[1] // 2 :] = False
    else:
        half[shape[0] // 2 :] = False
    yield from (half, ~half)


def _largest(mask: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Keep the connected piece that covers most of a part of the picture."""
    pieces, _ = label(mask, np.ones((3, 3)))
    sizes = np.bincount(pieces[part & mask], minlength=1)
    sizes[0] = 0
    return (pieces == sizes.argmax()) & mask


def name_shape(mask: np.ndarray) -> str | None:
    """Return the shape whose outline, of equal area and centre, fits a mask best."""
    ys, xs = np.nonzero(mask)
    if len(xs) < _LEAST * mask.size:
        return None
    outlines = _outlines()
    radii = np.sqrt(len(xs) / outlines.areas)
    columns = outlines.places(mask.shape[1], xs.mean() - radii * outlines.xs, radii)
    rows = outlines.places(mask.shape[0], ys.mean() - radii * outlines.ys, radii)
    each = np.arange(len(radii))[:, None, None]
    drawn = outlines.drawn[each, rows[:, :, None], columns[:, None]]
    overlaps = (drawn & mask).sum((1, 2)) / (drawn | mask).sum((1, 2))
    best = int(overlaps.argmax())
    return outlines.names[best] if overlaps[best] >= _OVERLAP else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outlines:
    """Every shape in each of its turns, of radius 1 around (0, 0), y downwards.

    Attributes:
        names: Of each outline's shape.
        drawn: (outlines, rows, columns); the middle is (0, 0).
        areas: In squared radii.
        xs: Of their centres of mass, in radii.
        ys: Of their centres of mass, in radii.
    """

    names: tuple[str, ...]
    drawn: np.ndarray
    areas: np.ndarray
    xs: np.ndarray
    ys: np.ndarray

    def places(self, count: int, starts: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Return which row or column of each drawing each pixel of a side meets.

        Args:
            count: Pixels of the side.
            starts: The pixel at which each outline has its 0.
            radii: Of each outline, in pixels.
        """
        last = self.drawn.shape[1] - 1
        away = (np.arange(count) - starts[:, None]) / radii[:, None]
        return np.clip(np.rint(away * _DETAIL + last / 2), 0, last).astype(int)


@cache
def _outlines() -> _Outlines:
    steps = np.arange(-round(_REACH * _DETAIL), round(_REACH * _DETAIL) + 1) / _DETAIL
    xs, ys = np.meshgrid(steps, steps)
    kinds = [
        (name, float(turn))
        for name in SHAPES
        for turn in ([0.0] if name in ("circle", "ring") else _TURNS)
    ]
    drawn = np.stack([_turned(name, xs, ys, turn=turn) for name, turn in kinds])
    sizes = drawn.sum((1, 2))
    return _Outlines(
        names=tuple(name for name, _ in kinds),
        drawn=drawn,
        areas=sizes / _DETAIL**2,
        xs=(drawn * xs).sum((1, 2)) / sizes,
        ys=(drawn * ys).sum((1, 2)) / sizes,
    )


def _turned(name: str, xs: np.ndarray, ys: np.ndarray, *, turn: float) -> np.ndarray:
    cos, sin = math.cos(turn), math.sin(turn)
    return _inside(name, xs * cos + ys * sin, ys * cos - xs * sin)


def _inside(name: str, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    radii = np.hypot(xs, ys)
    if name == "circle":
        return radii < 1
    if name == "ring":
        return (radii < 1) & (radii > 0.56)
    corners = _corners(name)
    inside = np.zeros(xs.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:  # a ray to the right crosses this side
            inside ^= ((y1 > ys) != (y2 > ys)) & (
                xs < (x2 - x1) * (ys - y1) / (y2 - y1) + x1
            )
    return inside


def _corners(name: str) -> list[tuple[float, float]]:
    if name == "square":
        return [(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)]
    if name == "diamond":
        return [(0, -1.12), (0.78, 0), (0, 1.12), (-0.78, 0)]
    if name == "triangle":
        return [_polar(1.1, 120 * number - 90) for number in range(3)]
    if name == "star":
        return [_polar((1.12, 0.48)[k % 2], 36 * k - 90) for k in range(10)]
    if name == "cross":
        a, b = 0.33, 1.0
        right = [(a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b)]
        return right + [(-x, -y) for x, y in right]
    return [_heart(math.tau * number / 64) for number in range(64)]


def _polar(radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return radius * math.cos(angle), radius * math.sin(angle)


def _heart(t: float) -> tuple[float, float]:
    y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return 1.04 * math.sin(t) ** 3, -y / 15.5 - 0.1
