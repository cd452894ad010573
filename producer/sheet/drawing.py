"""Drawing a contact sheet: panels of labelled rows and columns of images."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from producer.sheet.lettering import Font, Lettering, choose_lettering, wrap
from producer.sheet.page import Panel, Sheet, SheetCell
from storage.errors import ImageStoreError, UsageError
from storage.store import open_image

#: Pixels that no side of a sheet exceeds by much.
LARGEST_SHEET_SIDE = 12_000
#: Ratio of width to height that a sheet of several panels approaches: a screen's.
ASPECT = 1.5
#: Pixels between two cells.
PANEL_GAP = 6

#: Pixels of a cell's width below which its key could not be read.
NARROWEST_WITH_KEY = 48

_MARGIN = 32
_PANEL_GAP = 30
_NARROWEST = 560
# Height of a line for letters of height 1.
_LINE = 1.25
_PAPER, _INK, _GREY = "#fbfbfa", "#1c1c1e", "#6b6b70"
#: State to the colours of the field and its word, if there is no image.
_FIELDS = {
    "failed": ("#fdecea", "#b3261e"),
    "quarantined": ("#fdecea", "#b3261e"),
    "file missing": ("#fdecea", "#b3261e"),
    "leased": ("#eaf1fb", "#3a5f9a"),
    "pending": ("#eeeeec", "#77777c"),
    "evicted": ("#eeeeec", "#77777c"),
}
_NO_FIELD = ("#f6f6f4", "#b5b5b8")


def draw_sheet(sheet: Sheet, *, lettering: Lettering | None = None) -> Image.Image:
    """Draw a sheet as an RGB image.

    Args:
        sheet: What is on it.
        lettering: Typefaces for its texts; None for the best ones.
    """
    return _Drawing(sheet, lettering).draw()


def keys_px(cell_w: int) -> int:
    """Return the height of a line of keys, whose letters fit the width of a cell.

    Raises:
        UsageError: No letters that can be read would fit.
    """
    if cell_w < NARROWEST_WITH_KEY:
        msg = (
            f"images with keys must be {NARROWEST_WITH_KEY} pixels wide or more, got "
            f"{cell_w}; choose a larger --cell."
        )
        raise UsageError(msg)
    # In most typefaces, eight hex digits are at most 5.2 times as wide as high.
    return round(min(int(cell_w / 5.2), 16) * _LINE)


def title_room_px(cell_w: int) -> int:
    """Return to what width a title may extend a panel of narrow cells."""
    return 12 * _label_size(cell_w)


class _Drawing:
    """A sheet being drawn: its fonts, its wrapped texts, its measures in pixels."""

    def __init__(self, sheet: Sheet, lettering: Lettering | None = None) -> None:
        self.sheet = sheet
        self.fields: dict[str, Image.Image] = {}
        self.lettering = lettering or choose_lettering(sheet.texts)
        self.cell_w, self.cell_h = sheet.cell_px
        # From a cell to its neighbours.
        self.step_x = self.cell_w + PANEL_GAP
        self.step_y = self.cell_h + sheet.keys_px + PANEL_GAP
        size = _label_size(self.cell_w)
        self.label_font = self.lettering.font(size)
        self.key_font = self.lettering.font(round(sheet.keys_px / _LINE))
        self.panel_font = self.lettering.font(round(size * 1.2))
        self._measure_panel()
        self._arrange_panels()
        self._measure_head()

    def _measure_panel(self) -> None:
        sheet, font = self.sheet, self.label_font
        rows, cols = len(sheet.row_labels), len(sheet.col_labels)
        titles = [self.lettering.legible(panel.title) for panel in sheet.panels]
        title_w = math.ceil(max(map(self.panel_font.getlength, titles)))
        # A panel of narrow cells still has room for a readable title.
        self.panel_w = max(
            cols * self.step_x - PANEL_GAP,
            min(title_w, title_room_px(self.cell_w)),
        )
        longest = max(
            font.getlength(self.lettering.legible(each)) for each in sheet.row_labels
        )
        self.left = min(math.ceil(longest), max(round(1.5 * self.cell_w), 200))
        # Two neighbouring headings must never look like one.
        apart = round(font.size * 0.6) - PANEL_GAP
        most_lines = (self.cell_h - apart) // _line(font)
        self.row_texts = [
            self._wrap(each, font, width_px=self.left, most_lines=most_lines)
            for each in sheet.row_labels
        ]
        self.left += 14 if self.left else 0
        self.col_texts = [
            self._wrap(each, font, width_px=self.cell_w - apart, most_lines=8)
            for each in sheet.col_labels
        ]
        self.panel_texts = [
            self._wrap(each.title, self.panel_font, width_px=self.panel_w, most_lines=7)
            for each in sheet.panels
        ]
        self.title_h = _height(self.panel_texts, self.panel_font)
        self.cols_h = _height(self.col_texts, font)
        self.cells_h = rows * self.step_y - PANEL_GAP
        self.panel_h = self.title_h + self.cols_h + self.cells_h

    def _arrange_panels(self) -> None:
        """Choose how many panels stand side by side."""
        count = len(self.sheet.panels)
        self.across = min(range(1, count + 1), key=self._badness)
        down = math.ceil(count / self.across)
        self.body_w = self._across_px(self.across)
        self.body_h = down * (self.panel_h + _PANEL_GAP) - _PANEL_GAP

    def _badness(self, across: int) -> tuple[bool, float]:
        count = len(self.sheet.panels)
        down = math.ceil(count / across)
        width, height = self._across_px(across), down * (self.panel_h + _PANEL_GAP)
        is_over = max(width, height) > LARGEST_SHEET_SIDE
        empty = 1 - count / (across * down)
        shape = abs(math.log(width / height / ASPECT))
        return is_over, shape + 1.5 * empty + self._raggedness(across)

    def _raggedness(self, across: int) -> float:
        """Rate how badly runs of panels are broken: not at all, evenly, or unevenly."""
        if across % self.sheet.run == 0:
            return 0
        return 0.7 if self.sheet.run % across == 0 else 1.5

    def _across_px(self, across: int) -> int:
        return self.left + across * (self.panel_w + _PANEL_GAP) - _PANEL_GAP

    def _measure_head(self) -> None:
        width = max(self.body_w, _NARROWEST)
        self.width = width + 2 * _MARGIN
        # Both must be readable when a large sheet is viewed as a whole.
        size = round(min(max(width / 50, 1.7 * self.label_font.size), 72))
        self.title_font = self.lettering.font(size)
        self.notes_font = self.lettering.font(round(size * 0.58))
        self.title_text = self._wrap(
            self.sheet.title, self.title_font, width_px=width, most_lines=2
        )
        self.notes_text = self._wrap(
            self.sheet.notes, self.notes_font, width_px=width, most_lines=8
        )
        self.notes_y = _MARGIN + len(self.title_text) * _line(self.title_font) + 4
        notes_h = len(self.notes_text) * _line(self.notes_font)
        self.body_y = self.notes_y + notes_h + 24
        self.height = self.body_y + self.body_h + _MARGIN

    def draw(self) -> Image.Image:
        self.image = Image.new("RGB", (self.width, self.height), _PAPER)
        self._write(self.title_text, (_MARGIN, _MARGIN), self.title_font)
        self._write(
            self.notes_text, (_MARGIN, self.notes_y), self.notes_font, ink=_GREY
        )
        for number, panel in enumerate(self.sheet.panels):
            down, across = divmod(number, self.across)
            x = _MARGIN + self.left + across * (self.panel_w + _PANEL_GAP)
            y = self.body_y + down * (self.panel_h + _PANEL_GAP)
            self._draw_panel(panel, self.panel_texts[number], x, y)
            if across == 0:
                self._draw_row_labels(y + self.title_h + self.cols_h)
        return self.image

    def _draw_panel(self, panel: Panel, title: list[str], x: int, y: int) -> None:
        self._write(title, (x, y), self.panel_font)
        y += self.title_h
        for number, text in enumerate(self.col_texts):
            # Every heading ends right above the images, however many lines it has.
            missing = self.cols_h - _height([text], self.label_font)
            at = (x + number * self.step_x, y + missing)
            self._write(text, at, self.label_font, ink=_GREY)
        y += self.cols_h
        for down, row in enumerate(panel.cells):
            for across, cell in enumerate(row):
                at = (x + across * self.step_x, y + down * self.step_y)
                self._draw_cell(cell, at)
                if self.sheet.keys_px:
                    self._write_key(cell.key, at)

    def _draw_row_labels(self, y: int) -> None:
        for number, text in enumerate(self.row_texts):
            spare = self.cell_h - len(text) * _line(self.label_font)
            at = (_MARGIN, y + number * self.step_y + spare // 2)
            self._write(text, at, self.label_font)

    def _draw_cell(self, cell: SheetCell, at: tuple[int, int]) -> None:
        if cell.path is None:
            self._draw_field(cell.state, at)
            return
        try:
            picture = open_image(cell.path)
        except ImageStoreError:
            self._draw_field("file missing", at)
            return
        picture = _fitted(picture, (self.cell_w, self.cell_h))
        x = at[0] + (self.cell_w - picture.width) // 2
        y = at[1] + (self.cell_h - picture.height) // 2
        self.image.paste(picture, (x, y))

    def _write_key(self, key: str, at: tuple[int, int]) -> None:
        spare = self.cell_w - self.key_font.getlength(key)
        below = (at[0] + round(spare / 2), at[1] + self.cell_h)
        self._write([key], below, self.key_font, ink=_GREY)

    def _draw_field(self, word: str, at: tuple[int, int]) -> None:
        if word not in self.fields:
            self.fields[word] = self._make_field(word)
        self.image.paste(self.fields[word], at)

    def _make_field(self, word: str) -> Image.Image:
        paper, ink = _FIELDS.get(word, _NO_FIELD)
        field = Image.new("RGB", (self.cell_w, self.cell_h), paper)
        centre = (self.cell_w / 2, self.cell_h / 2)
        lines = wrap(word, self.label_font, width_px=self.cell_w - 8, most_lines=3)
        text, font = "\n".join(lines), self.label_font.main
        if len(lines) * _line(self.label_font) > self.cell_h:
            return field  # its colour says enough
        pen = ImageDraw.Draw(field)
        pen.multiline_text(centre, text, ink, font, anchor="mm", align="center")
        return field

    def _wrap(
        self, text: str, font: Font, *, width_px: int, most_lines: int
    ) -> list[str]:
        return wrap(
            self.lettering.legible(text),
            font,
            width_px=width_px,
            most_lines=max(most_lines, 1),
        )

    def _write(
        self,
        lines: Sequence[str],
        at: tuple[int, int],
        font: Font,
        *,
        ink: str = _INK,
    ) -> None:
        for number, line in enumerate(lines):
            here = (at[0], at[1] + number * _line(font))
            font.write(self.image, here, line, ink=ink)


def _label_size(cell_w: int) -> int:
    return min(max(cell_w // 7, 15), 24)


def _line(font: Font) -> int:
    return round(font.size * _LINE)


def _height(texts: Sequence[Sequence[str]], font: Font) -> int:
    lines = max(map(len, texts))
    return lines * _line(font) + 6 if lines else 0


def _fitted(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    scale = min(box[0] / image.width, box[1] / image.height)
    if scale == 1:
        return image
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS)
