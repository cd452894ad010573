"""Text on pictures: a typeface that has the letters, and lines that fit a width."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

#: What Pillow's own typeface has beyond ASCII.
BUILTIN_EXTRAS = frozenset("…·“”")
#: Typefaces to look for on the system where a text has other letters.
SYSTEM_TYPEFACES = (
    *("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf"),
    *("Arial Unicode.ttf", "arial.ttf", "LiberationSans-Regular.ttf"),
)


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

    def legible(self, text: str) -> str:
        """Give a text in letters that the typeface has: é becomes e, 猫 becomes ?."""
        text = " ".join(text.split())
        if self.file:
            return text
        bare = unicodedata.normalize("NFKD", text)
        letters = (each for each in bare if not unicodedata.combining(each))
        return "".join(each if _is_builtin(each) else "?" for each in letters)


def choose_typeface(texts: Iterable[str]) -> Typeface:
    """Choose Pillow's own where it has every letter, else one of the system."""
    if all(map(_is_builtin, "".join(texts))):
        return Typeface(None)
    for file in SYSTEM_TYPEFACES:
        try:
            ImageFont.truetype(file, 10)
        except OSError:
            continue
        return Typeface(file)
    return Typeface(None)


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
    if len(lines) <= most_lines:
        return lines
    last = lines[most_lines - 1]
    while last and font.getlength(f"{last}…") > width_px:
        last = last[:-1]
    return [*lines[: most_lines - 1], f"{last.rstrip()}…"]


def _split_long_words(text: str, font: FreeTypeFont, width_px: float) -> Iterator[str]:
    for word in text.split():
        rest = word
        while len(rest) > 1 and font.getlength(rest) > width_px:
            end = len(rest) - 1
            while end > 1 and font.getlength(rest[:end]) > width_px:
                end -= 1
            # `dpmpp_2m_karras` breaks behind an underscore, where there is one.
            end = max(rest.rfind(mark, 0, end) + 1 for mark in "_-/.,=") or end
            yield rest[:end]
            rest = rest[end:]
        yield rest


def _is_builtin(letter: str) -> bool:
    return " " <= letter <= "~" or letter in BUILTIN_EXTRAS
