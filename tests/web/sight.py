"""A grid as a person sees it: what a cell of the canvas shows, found by its labels."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import FloatRect, Page

from tests.web.pictures import screenshot, shown_value, shown_values
from tests.web.serving import Gallery

_LABELS = """(side) => [...document.querySelectorAll(`.grid-${side} [data-place]`)]
  .map((label) => ({text: label.textContent, place: Number(label.dataset.place),
                    ...label.getBoundingClientRect().toJSON()}))
  .sort((a, b) => a.place - b.place)"""
#: Width of a cell: so that all rows that tests look at are in sight.
_CELL_PX = "112"
#: Pixels at the edge of a cell that may be its frame.
_FRAME_PX = 4
_TRIES = 400
_PAUSE_MS = 50.0


class GridSight:
    """The grid on a page."""

    def __init__(self, page: Page) -> None:
        """Take a page on which a grid is, or will be."""
        self.page = page
        self.grid = page.get_by_role("grid")

    def open(self, gallery: Gallery, query: str, **sides: str | Iterable[str]) -> None:
        """Open the grid of a query, with these axes on its sides.

        Args:
            gallery: The server.
            query: Which images.
            sides: Axes by `rows`, `cols`, `supers`, `slider`, `stack`; all others are
                left to the page. None at all leaves all to it.
        """
        chosen = [("q", query), ("cell", _CELL_PX)]
        for side, axes in sides.items():
            names = [axes] if isinstance(axes, str) else axes
            chosen += [(side, name) for name in names]
        self.page.goto(f"{gallery.root}/grid?{urlencode(chosen)}")
        self.wait()

    def wait(self) -> None:
        """Wait until the grid is there."""
        self.page.wait_for_selector("[role=grid][aria-rowcount]")

    def labels(self, side: str) -> list[str]:
        """Return the labels in sight on `rows`, `cols` or `supers`, in order."""
        return [label["text"] for label in self.page.evaluate(_LABELS, side)]

    def box(self, row: object, col: object, *, band: int = 0) -> FloatRect:
        """Return where the cell of two labels is on the screen.

        Args:
            row: Label of its row.
            col: Label of its column.
            band: Which of the rows of that label, where super-rows repeat them.
        """
        rows = self._find("rows", str(row))
        across, down = self._find("cols", str(col))[0], rows[band]
        return {
            "x": across["x"] + _FRAME_PX,
            "y": down["y"] + _FRAME_PX,
            "width": across["width"] - 2 * _FRAME_PX,
            "height": down["height"] - 2 * _FRAME_PX,
        }

    def click(self, row: object, col: object, *, modifier: str = "") -> None:
        """Click on a cell, with a key held."""
        box = self.box(row, col)
        if modifier:
            self.page.keyboard.down(modifier)
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        if modifier:
            self.page.keyboard.up(modifier)

    def shows(self, row: object, col: object, **values: object) -> None:
        """Check that a cell shows, sooner or later, the image of these values."""

        def seen() -> dict[str, Any]:
            shown = shown_values(self.page, self.box(row, col))
            return {axis: shown[axis] for axis in values}

        self.eventually(seen, values)

    def is_filled(self, row: object, col: object, **axis: object) -> None:
        """Check that a cell shows one quarter of its image alone: that of an axis."""
        ((name, value),) = axis.items()
        self.eventually(lambda: shown_value(self.page, self.box(row, col), name), value)

    def pixels(self, row: object, col: object) -> bytes:
        """Return what a cell shows, marks and all."""
        return screenshot(self.page, self.box(row, col)).tobytes()

    def eventually(self, ask: Callable[[], object], wanted: object) -> None:
        """Check that an answer is what is wanted, now or after some drawing."""
        got = None
        for _ in range(_TRIES):
            got = ask()
            if got == wanted:
                return
            self.page.wait_for_timeout(_PAUSE_MS)
        assert got == wanted

    def _find(self, side: str, text: str) -> list[dict[str, Any]]:
        """Return the places of a label, now or after some drawing."""
        for _ in range(_TRIES):
            labels: list[dict[str, Any]] = self.page.evaluate(_LABELS, side)
            if found := [label for label in labels if label["text"] == text]:
                return found
            self.page.wait_for_timeout(_PAUSE_MS)
        pytest.fail(f"no {side} are {text}: {self.labels(side)}")
