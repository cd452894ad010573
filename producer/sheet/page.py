"""A page of a contact sheet, ready to draw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SheetCell:
    """What is at one place: an image's file, or the word that stands for it.

    `key` is written below it, if the sheet has room for keys.
    """

    state: str
    path: Path | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A block of rows and columns with its own title; `cells` is row by row."""

    title: str
    cells: Sequence[Sequence[SheetCell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One page, ready to draw.

    Attributes:
        title: The first line.
        notes: The line below it: what all images have in common.
        row_labels: One for each row of each panel; a single empty text for none.
        col_labels: One for each column of each panel; a single empty text for none.
        panels: In the order of reading.
        cell_px: Width and height of each image.
        keys_px: Height of the line below each image for its key; 0 for no keys.
        run: Panels in a row that belong together: they stay on one line if they can.
    """

    title: str
    notes: str
    row_labels: Sequence[str]
    col_labels: Sequence[str]
    panels: Sequence[Panel]
    cell_px: tuple[int, int]
    keys_px: int = 0
    run: int = 1

    @property
    def texts(self) -> Iterator[str]:
        """Every text on the page."""
        titles = (panel.title for panel in self.panels)
        return chain((self.title, self.notes), self.row_labels, self.col_labels, titles)
