"""Typefaces of Pillow and of the system, and the letters that they have."""

import functools
import re
import shutil
import subprocess
from bisect import bisect
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

#: What Pillow's own typeface has beyond ASCII.
BUILTIN_EXTRAS = frozenset("…·“”")
#: Typefaces to look for first if a text has other letters.
SYSTEM_TYPEFACES = (
    *("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf"),
    *("Arial Unicode.ttf", "arial.ttf", "LiberationSans-Regular.ttf"),
)
#: Where typefaces are on Linux and macOS; fontconfig, if installed, knows more.
TYPEFACE_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
)

_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_STYLES = re.compile(
    "bold|black|heavy|light|thin|italic|oblique|serif|mono|condensed", re.IGNORECASE
)
# A letter that no typeface has.
_NO_LETTER = "\U0010fffd"
# Sizes to try a typeface in: any one, or the only one of coloured bitmaps.
_SIZES_PX = (16, 109, 136, 160, 128, 96, 64, 32)
# Seconds to wait for fontconfig, which may build its cache first.
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Typeface:
    """A typeface by its file, or Pillow's own if that is None.

    Attributes:
        file: Path, or a name that Pillow finds.
        index: Which typeface of a collection.
    """

    file: str | None
    index: int = 0

    def font(self, size_px: int) -> FreeTypeFont:
        """Return the typeface in a size, or in its only size."""
        if self.file:
            return _load(self.file, self.index, size_px) or self._only()
        return _load_default(size_px)

    @property
    def is_there(self) -> bool:
        """Whether Pillow can open it."""
        return self.file is None or _any_size(self.file, self.index) is not None

    def has(self, letter: str) -> bool:
        """Return whether it has a glyph for a letter."""
        if self.file is None:
            return " " <= letter <= "~" or letter in BUILTIN_EXTRAS
        return _has_glyph(self.file, self.index, letter)

    def _only(self) -> FreeTypeFont:
        font = _any_size(str(self.file), self.index)
        if font is None:
            msg = f"a typeface must be readable, but {self.file} is not"
            raise OSError(msg)
        return font


def find_typefaces(letters: Set[str]) -> list[Typeface]:
    """Return a few system typefaces that have as many of the letters as possible."""
    fontconfig = shutil.which("fc-list")
    found = _ask(fontconfig, letters) if fontconfig else _look(letters)
    having = {face: known for face, known in found if known and face.is_there}
    missing, chosen = set(letters), list[Typeface]()
    while missing and having:
        best = max(having, key=lambda face: _rank(face, having[face] & missing))
        known = having.pop(best)
        if not known & missing:
            break
        missing -= known
        chosen.append(best)
    return chosen


def _rank(face: Typeface, known: Set[str]) -> tuple[bool, bool, int, str]:
    """Rank a typeface: plain ones that have any of the letters before others."""
    name = Path(str(face.file)).name
    return bool(known), not _STYLES.search(name), len(known), name


def _ask(fontconfig: str, letters: Set[str]) -> Iterator[tuple[Typeface, Set[str]]]:
    """Ask fontconfig for each typeface and which of the letters it has."""
    words = [fontconfig, "-f", "%{file}\\t%{index}\\t%{charset}\\n"]
    try:
        said = subprocess.run(  # noqa: S603 - words of our own
            words, capture_output=True, check=False, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in said.stdout.decode(errors="replace").splitlines():
        file, _, rest = line.partition("\t")
        index, _, charset = rest.partition("\t")
        if Path(file).suffix.lower() in _SUFFIXES and index.isdecimal():
            # The upper bits name a variant of a variable typeface.
            face = Typeface(file, int(index) & 0xFFFF)
            yield face, _among(charset, letters)


def _among(charset: str, letters: Set[str]) -> Set[str]:
    """Return the letters that are in a charset such as `20-7e a0 ac00-d7a3`."""
    pairs = [part.partition("-") for part in charset.split()]
    first = [int(low, 16) for low, _, _ in pairs]
    last = [int(high or low, 16) for low, _, high in pairs]
    places = {letter: bisect(first, ord(letter)) - 1 for letter in letters}
    return {each for each, at in places.items() if at >= 0 and ord(each) <= last[at]}


def _look(letters: Set[str]) -> Iterator[tuple[Typeface, Set[str]]]:
    """Search the folders of typefaces, if there is no fontconfig."""
    for folder in TYPEFACE_FOLDERS:
        for path in sorted(Path(folder).expanduser().rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                face = Typeface(str(path))
                if face.is_there:
                    yield face, {letter for letter in letters if face.has(letter)}


@functools.cache
def _load_default(size_px: int) -> FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, FreeTypeFont)  # noqa: S101  as Pillow promises
    return font


@functools.cache
def _load(file: str, index: int, size_px: int) -> FreeTypeFont | None:
    try:
        return ImageFont.truetype(file, size_px, index)
    except (OSError, ValueError):
        return None


@functools.cache
def _any_size(file: str, index: int) -> FreeTypeFont | None:
    fonts = (_load(file, index, size_px) for size_px in _SIZES_PX)
    return next((font for font in fonts if font), None)


@functools.cache
def _has_glyph(file: str, index: int, letter: str) -> bool:
    """Compare a letter with what the typeface draws for one that no typeface has."""
    font = _any_size(file, index)
    if font is None or letter.isspace():
        return font is not None
    return _drawn(font, letter) != _drawn(font, _NO_LETTER)


def _drawn(font: FreeTypeFont, letter: str) -> tuple[object, ...]:
    mask = font.getmask(letter, mode="RGBA" if font.size != _SIZES_PX[0] else "")
    return mask.size, tuple(mask)
