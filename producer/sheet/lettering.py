"""Text on pictures: a typeface that has the letters, and lines that fit a width."""

import functools
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

#: What stands between two texts on one line.
SEPARATOR = "  ·  "
#: What Pillow's own typeface has beyond ASCII.
BUILTIN_EXTRAS = frozenset("…·“”")
#: Typefaces to look for on the system where a text has other letters.
SYSTEM_TYPEFACES = (
    *("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf"),
    *("Arial Unicode.ttf", "arial.ttf", "LiberationSans-Regular.ttf"),
)


# Unicode categories of marks without a width, and a letter that is none.
_MARKS = frozenset({"Mn", "Me", "Cf"})
_NO_LETTER = "\U0010fffd"


@dataclass(frozen=True, slots=True)
class Typeface:
    """A typeface of the system by its file name, or Pillow's own where that is None."""

    file: str | None

    def font(self, size_px: int) -> FreeTypeFont:
        """Give the typeface in one size."""
        if self.file:
            return ImageFont.truetype(self.file, size_px)
        font = ImageFont.load_default(size_px)
        assert isinstance(font, FreeTypeFont)  # noqa: S101  as Pillow promises
        return font

    def has(self, letter: str) -> bool:
        """Tell whether it has a glyph for a letter."""
        return _has_glyph(self.file, letter) if self.file else _is_builtin(letter)

    def legible(self, text: str) -> str:
        """Give a text in letters that it has: é may become e, 猫 become ?."""
        spelt = (self._spell(each) for each in " ".join(text.split()))
        return "".join("?" if each is None else each for each in spelt)

    def lacks(self, text: str) -> int:
        """Count the different letters of a text that it has nothing like."""
        return sum(self._spell(each) is None for each in set("".join(text.split())))

    def _spell(self, letter: str) -> str | None:
        if self.has(letter):
            return letter
        bare = unicodedata.normalize("NFKD", letter)
        # Accents, and the marks that join or colour emoji, have no width of their own.
        kept = [each for each in bare if unicodedata.category(each) not in _MARKS]
        return "".join(kept) if all(map(self.has, kept)) else None


def choose_typeface(texts: Iterable[str]) -> Typeface:
    """Choose Pillow's own where it has every letter, else the best of the system."""
    text = "".join(set("".join(texts)))
    own = Typeface(None)
    if all(map(own.has, text)):
        return own
    found = [Typeface(file) for file in SYSTEM_TYPEFACES if _load(file)]
    return min([*found, own], key=lambda typeface: typeface.lacks(text))


def find_illegible(texts: Iterable[str]) -> list[str]:
    """Give those texts of a sheet that no one typeface here can write."""
    parts = (part for text in texts for part in text.split(SEPARATOR))
    every = list(dict.fromkeys(parts))
    typeface = choose_typeface(every)
    return [text for text in every if typeface.lacks(text)]


def wrap(
    text: str, font: FreeTypeFont, *, width_px: float, most_lines: int
) -> list[str]:
    """Break a text into lines; what does not fit ends in an ellipsis.

    Args:
        text: One paragraph.
        font: What it is set in.
        width_px: Of a line.
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


def _split_long_words(text: str, font: FreeTypeFont, width_px: float) -> Iterator[str]:
    for word in text.split():
        rest = word
        while (end := _count_fitting(rest, font, width_px)) < len(rest):
            # `dpmpp_2m_karras` breaks behind an underscore, where there is one.
            end = max(rest.rfind(mark, 0, end) + 1 for mark in "_-/.,=") or end
            yield rest[:end]
            rest = rest[end:]
        yield rest


def _count_fitting(text: str, font: FreeTypeFont, width_px: float) -> int:
    """Count the letters that fit a line, 1 at the least."""
    most = min(len(text), int(width_px))  # no letter is narrower than a pixel
    ends = range(1, most + 1)
    fitting = bisect(ends, width_px, key=lambda end: font.getlength(text[:end]))
    return max(fitting, 1)


@functools.cache
def _load(file: str) -> FreeTypeFont | None:
    try:
        return ImageFont.truetype(file, 16)
    except OSError:
        return None


@functools.cache
def _has_glyph(file: str, letter: str) -> bool:
    """Compare a letter with what the typeface draws for one that nobody has."""
    font = _load(file)
    if font is None or letter.isspace():
        return font is not None
    drawn, missing = font.getmask(letter), font.getmask(_NO_LETTER)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def _is_builtin(letter: str) -> bool:
    return " " <= letter <= "~" or letter in BUILTIN_EXTRAS
