"""From the images of a sweep and a layout to the pages of a contact sheet."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from producer.sheet.captions import Captions, make_captions
from producer.sheet.drawing import (
    LARGEST_SHEET_SIDE,
    PANEL_GAP,
    keys_px,
    title_room_px,
)
from producer.sheet.layout import Layout, is_part
from producer.sheet.lettering import SEPARATOR
from producer.sheet.page import Panel, Sheet, SheetCell
from producer.sheet.picture import Picture, once
from storage.errors import UsageError
from storage.jobs.sweeps import UNMADE

#: Pages beyond which a sheet says nothing at a glance.
MOST_PAGES = 40
#: Digits of a key that `find` shows, and any command takes.
KEY_DIGITS = 8
#: Pixels that the images of one page may take, margins aside.
LARGEST_AREA = 40_000_000

# Pixels of a panel's width below which its title and headings take more lines.
_NARROW = 300
# Pixels of a side that labels, titles and margins take at most.
_ALLOWANCE = 1_200

#: Where a cell is: its labels of the panel axes, of the row and of the column.
Place = tuple[tuple[str, ...], str, str]


@dataclass(slots=True)
class Pages:
    """A contact sheet: its pages, and the counts of its images.

    Attributes:
        sheets: One for each page.
        states: State to the count of images shown.
        hidden: Images whose place shows another one, or that have no place.
        unbegun: Images in the panels and rows left out as nothing of them is made yet.
    """

    sheets: list[Sheet]
    states: dict[str, int] = field(default_factory=dict)
    hidden: int = 0
    unbegun: int = 0

    @property
    def texts(self) -> Iterator[str]:
        """Every text on the pages."""
        return itertools.chain.from_iterable(sheet.texts for sheet in self.sheets)


def make_pages(
    title: str,
    pictures: Sequence[Picture],
    layout: Layout,
    *,
    cell: int | None = None,
    has_keys: bool = False,
) -> Pages:
    """Put images in their places, on as few pages as possible.

    What fits on one page is shown whole. Otherwise the panels and rows whose images are
    all still to be made are left out, unless that would be everything.

    Args:
        title: Name of the sweep.
        pictures: At least one.
        layout: Which axis goes where.
        cell: Pixels of a cell's longer side; None for what suits.
        has_keys: Write the key of each image below it.

    Raises:
        UsageError: There would be too many pages, or cells are too narrow for keys.
    """
    placed: dict[Place, Picture] = {}
    # An image for several cells may also name another image's cell: it comes later.
    for places, picture in sorted(
        ((list(_places_of(picture, layout)), picture) for picture in pictures),
        key=lambda pair: len(pair[0]),
    ):
        for place in places:
            placed.setdefault(place, picture)
    cell_px = choose_cell_px(pictures, count=len(placed), side=cell)
    below = keys_px(cell_px[0]) if has_keys else 0
    step = (cell_px[0] + PANEL_GAP, cell_px[1] + below + PANEL_GAP)
    every, plans = placed, list(_plan_pages(placed, layout, step))
    if len(plans) > 1:
        placed = _begun(placed) or placed
        plans = list(_plan_pages(placed, layout, step))
    if len(plans) > MOST_PAGES:
        msg = (
            f"a contact sheet must have at most {MOST_PAGES} pages, got {len(plans)}; "
            "show less with --fix, such as --fix seed=0, other --rows and --cols, or a "
            "smaller --cell."
        )
        raise UsageError(msg)
    composer = _Composer(title, placed, layout, make_captions(layout), cell_px, below)
    pages = Pages([composer.compose(*plan) for plan in plans])
    if len(plans) > 1:
        pages.sheets = list(_numbered(pages.sheets))
    shown = once(placed.values())
    for picture in shown:
        pages.states[picture.state] = pages.states.get(picture.state, 0) + 1
    pages.unbegun = len(once(every.values())) - len(shown)
    pages.hidden = len(pictures) - len(shown) - pages.unbegun
    return pages


def choose_cell_px(
    pictures: Sequence[Picture], *, count: int, side: int | None = None
) -> tuple[int, int]:
    """Choose the width and height of a cell: small images larger, large ones smaller.

    Small images grow by a whole factor, so that their pixels stay even.

    Args:
        pictures: What the cells hold.
        count: Number of cells.
        side: Pixels of the longer side; None to choose it.
    """
    width = max(picture.facts["width"] for picture in pictures)
    height = max(picture.facts["height"] for picture in pictures)
    longer = max(width, height)
    if side:
        factor = side / longer
    elif longer < 128:
        factor = float(max((192 if count <= 48 else 128) // longer, 1))
    else:
        wanted = 384 if count <= 24 else 256 if count <= 200 else 192
        factor = min(wanted / longer, 1)
    return max(round(width * factor), 1), max(round(height * factor), 1)


def _begun(placed: Mapping[Place, Picture]) -> dict[Place, Picture]:
    """Keep the panels and rows of which something is made, or failed."""
    begun = [place for place, one in placed.items() if one.state not in UNMADE]
    panels, rows = {place[0] for place in begun}, {place[1] for place in begun}
    return {
        place: one
        for place, one in placed.items()
        if place[0] in panels and place[1] in rows
    }


Plan = tuple[Sequence[tuple[str, ...]], Sequence[str], Sequence[str]]


def _plan_pages(
    placed: Mapping[Place, Picture], layout: Layout, step: tuple[int, int]
) -> Iterator[Plan]:
    """Yield panels, rows and columns of each page.

    Args:
        placed: The images.
        layout: Which axis goes where.
        step: Pixels from a cell to the next one, across and down.
    """
    occupied = {place[0] for place in placed}
    every = itertools.product(*(layout.labels[axis] for axis in layout.panels))
    panels = [panel for panel in every if panel in occupied]
    filled = {place[1] for place in placed}
    every_row = layout.labels[layout.rows] if layout.rows else [""]
    rows = [row for row in every_row if row in filled]
    cols = layout.labels[layout.cols] if layout.cols else [""]
    width, height = step
    room = LARGEST_SHEET_SIDE - _ALLOWANCE
    col_parts = _split(cols, room // width)
    most_rows = LARGEST_AREA // (len(col_parts[0]) * width * height)
    row_parts = _split(rows, min(room // height, most_rows))
    panel_w = len(col_parts[0]) * width
    panel_h = len(row_parts[0]) * height + (80 if panel_w > _NARROW else 200)
    panel_w = max(panel_w, title_room_px(width - PANEL_GAP))
    most = (room // (panel_w + 30)) * (room // (panel_h + 30))
    most = min(most, LARGEST_AREA // (panel_w * panel_h))
    run = _run_of(panels)
    panel_parts = _split(panels, most, run=run if run <= most else 1)
    yield from itertools.product(panel_parts, row_parts, col_parts)


def _run_of(panels: Sequence[tuple[str, ...]]) -> int:
    """Return how many panels in a row differ in the last axis alone; 1 if it varies."""
    counts = Counter(panel[:-1] for panel in panels)
    lengths = set(counts.values())
    return lengths.pop() if len(counts) > 1 and len(lengths) == 1 else 1


def _split(values: Sequence[Any], most: int, *, run: int = 1) -> list[Sequence[Any]]:
    """Split into as few parts as possible, about equally long, in multiples of run."""
    most = max(most // run, 1)
    runs = math.ceil(len(values) / run)
    parts = math.ceil(runs / most)
    size = math.ceil(runs / parts) * run
    return [values[start : start + size] for start in range(0, len(values), size)]


@dataclass(frozen=True, slots=True)
class _Composer:
    """Makes the sheets of one set of images."""

    title: str
    placed: Mapping[Place, Picture]
    layout: Layout
    captions: Captions
    cell_px: tuple[int, int]
    keys_px: int

    def compose(
        self,
        panels: Sequence[tuple[str, ...]],
        rows: Sequence[str],
        cols: Sequence[str],
    ) -> Sheet:
        places = itertools.product(panels, rows, cols)
        shown = [self.placed[place] for place in places if place in self.placed]
        return Sheet(
            title=self.title,
            notes=self.captions.notes(shown),
            row_labels=[self.captions.heading(self.layout.rows, row) for row in rows],
            col_labels=[self.captions.heading(self.layout.cols, col) for col in cols],
            panels=[self._panel(panel, rows, cols) for panel in panels],
            cell_px=self.cell_px,
            keys_px=self.keys_px,
            run=_run_of(panels),
        )

    def _panel(
        self, panel: tuple[str, ...], rows: Sequence[str], cols: Sequence[str]
    ) -> Panel:
        cells = [[self._cell((panel, row, col)) for col in cols] for row in rows]
        return Panel(self.captions.title(panel), cells)

    def _cell(self, place: Place) -> SheetCell:
        picture = self.placed.get(place)
        if picture is None:
            return SheetCell("not in the sweep")
        return SheetCell(picture.state, picture.path, picture.key[:KEY_DIGITS])


def _places_of(picture: Picture, layout: Layout) -> Iterator[Place]:
    """Yield the places of an image: several if it stands for several labels."""
    panels = [_labels_of(picture, axis, layout) for axis in layout.panels]
    rows, cols = (
        _labels_of(picture, axis, layout) if axis else [""]
        for axis in (layout.rows, layout.cols)
    )
    yield from itertools.product(itertools.product(*panels), rows, cols)


def _labels_of(picture: Picture, axis: str, layout: Layout) -> Sequence[str]:
    """Return an image's labels on an axis: all if the axis does not affect the image.

    Empty for a part of a prompt that the image does not have.
    """
    shown = layout.labels[axis]
    if axis in picture.cell:
        return [label for label in picture.cell[axis] if label in shown]
    return [] if is_part(axis) else shown


def _numbered(sheets: Sequence[Sheet]) -> Iterator[Sheet]:
    for number, sheet in enumerate(sheets, start=1):
        yield replace(
            sheet, title=f"{sheet.title}{SEPARATOR}page {number} of {len(sheets)}"
        )
