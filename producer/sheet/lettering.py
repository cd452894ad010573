"""Text on pictures: typefaces that have the letters, and lines that fit a width."""

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Protocol

from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from producer.sheet import typefaces
from producer.sheet.typefaces import Typeface, find_typefaces

#: What stands between two texts on one line.
SEPARATOR = "  ·  "

# A word, with the ellipsis before or after it.
_WORD = re.compile(r"(?:… )?\S+(?: …(?!\S))?")
# Unicode categories of marks without a width of their own.
_MARKS = frozenset({"Mn", "Me", "Cf"})


class Measured(Protocol):
    """A font that can measure texts."""

    def getlength(self, text: str) -> float:
        """Return the pixels that a text takes."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """The typefaces of a sheet: the first is used wherever it has a letter."""

    faces: tuple[Typeface, ...]

    def font(self, size_px: int) -> "Font":
        """Return the typefaces in one size."""
        return Font(self, size_px)

    def legible(self, text: str) -> str:
        """Return a text in available letters: é may become e, and 猫 may become ?."""
        spelt = (self._spell(each) for each in " ".join(text.split()))
        return "".join("?" if each is None else each for each in spelt)

    def lacks(self, text: str) -> int:
        """Count the different letters of a text that no typeface has or can spell."""
        return sum(self._spell(each) is None for each in set("".join(text.split())))

    def face_of(self, letter: str) -> Typeface | None:
        """Return the first typeface that has a letter."""
        return next((face for face in self.faces if face.has(letter)), None)

    def _spell(self, letter: str) -> str | None:
        # Characters that join or colour emoji would split the text into more typefaces.
        if unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f":
            return ""
        if self.face_of(letter):
            return letter
        bare = unicodedata.normalize("NFKD", letter)
        kept = [each for each in bare if unicodedata.category(each) not in _MARKS]
        return "".join(kept) if all(map(self.face_of, kept)) else None


@dataclass(frozen=True)
class Font:
    """The typefaces of a sheet in one size."""

    lettering: Lettering
    size: int

    @cached_property
    def main(self) -> FreeTypeFont:
        """The typeface that most of a text is in."""
        return self.lettering.faces[0].font(self.size)

    def getlength(self, text: str) -> float:
        """Return the pixels that a legible text takes."""
        return sum(font.getlength(run) * scale for run, font, scale in self._runs(text))

    def write(
        self, image: Image.Image, at: tuple[float, float], text: str, *, ink: str
    ) -> None:
        """Write a legible text; `at` is its left end and the top of its letters."""
        x, base = at[0], at[1] + self.main.getmetrics()[0]
        for run, font, scale in self._runs(text):
            if scale == 1:
                pen = ImageDraw.Draw(image)
                pen.text((x, base), run, ink, font, "ls", embedded_color=True)
            else:
                _paste_bitmap(image, (x, base), run, font=font, scale=scale)
            x += font.getlength(run) * scale

    def _runs(self, text: str) -> Iterator[tuple[str, FreeTypeFont, float]]:
        """Yield the runs of a text by typeface, each with its font and its scale."""
        for face, letters in groupby(text, key=self._face_of):
            font = face.font(self.size)
            yield "".join(letters), font, self.size / font.size

    def _face_of(self, letter: str) -> Typeface:
        return self.lettering.face_of(letter) or self.lettering.faces[0]


def choose_lettering(texts: Iterable[str]) -> Lettering:
    """Choose Pillow's own typeface if it has every letter, else those of the system.

    The one that lacks least comes first; the others are for what it lacks.
    """
    letters = set("".join(texts))
    own = Typeface(None)
    if all(map(own.has, letters)):
        return Lettering((own,))
    named = [Typeface(file) for file in typefaces.SYSTEM_TYPEFACES]
    there = [*(face for face in named if face.is_there), own]
    alone = {face: Lettering((face,)).lacks("".join(letters)) for face in there}
    first = min(there, key=lambda face: alone[face])
    missing = {each for each in letters if not first.has(each) and _is_shown(each)}
    others = find_typefaces(missing) if missing else []
    return Lettering((first, *others))


def find_illegible(texts: Iterable[str], lettering: Lettering) -> list[str]:
    """Return the texts of a sheet that its typefaces cannot write."""
    parts = (part for text in texts for part in text.split(SEPARATOR))
    return [text for text in dict.fromkeys(parts) if lettering.lacks(text)]


def wrap(text: str, font: Measured, *, width_px: float, most_lines: int) -> list[str]:
    """Break a text into lines; what does not fit ends in an ellipsis.

    Args:
        text: One paragraph.
        font: The font that it is set in.
        width_px: Width of a line.
        most_lines: 1 or more.
    """
    lines: list[str] = []
    for word in _split_long_words(text, font, width_px):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
        if len(lines) > most_lines:  # the rest, however long, is not shown
            break
    else:
        return lines
    last = lines[most_lines - 1]
    while last and font.getlength(f"{last}…") > width_px:
        last = last[:-1]
    return [*lines[: most_lines - 1], f"{last.rstrip()}…"]


def _split_long_words(text: str, font: Measured, width_px: float) -> Iterator[str]:
    for word in _WORD.findall(text):
        rest = word
        while (end := _count_fitting(rest, font, width_px)) < len(rest):
            # `dpmpp_2m_karras` breaks after an underscore, if there is one.
            end = max(rest.rfind(mark, 0, end) + 1 for mark in "_-/.,=") or end
            yield rest[:end]
            rest = rest[end:]
        yield rest


def _count_fitting(text: str, font: Measured, width_px: float) -> int:
    """Count the letters that fit a line, 1 at the least."""
    most = min(len(text), int(width_px))  # no letter is narrower than a pixel
    ends = range(1, most + 1)
    fitting = bisect(ends, width_px, key=lambda end: font.getlength(text[:end]))
    return max(fitting, 1)


def _is_shown(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter) not in _MARKS


def _paste_bitmap(
    image: Image.Image,
    at: tuple[float, float],
    text: str,
    *,
    font: FreeTypeFont,
    scale: float,
) -> None:
    """Write in a typeface of coloured bitmaps, which has one size only.

    Args:
        image: Where to write.
        at: Left end of the base line.
        text: What to write.
        font: The typeface.
        scale: Factor from its size to the wanted size.
    """
    ascent, descent = font.getmetrics()
    tile = Image.new("RGBA", (round(font.getlength(text)), ascent + descent))
    pen = ImageDraw.Draw(tile)
    pen.text((0, ascent), text, font=font, anchor="ls", embedded_color=True)
    size = (max(round(tile.width * scale), 1), max(round(tile.height * scale), 1))
    tile = tile.resize(size, Image.Resampling.LANCZOS)
    image.paste(tile, (round(at[0]), round(at[1] - ascent * scale)), tile)
