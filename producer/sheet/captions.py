"""The words of a contact sheet: headings, titles of panels, and notes of a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.sheet.layout import Layout, named
from producer.sheet.lettering import SEPARATOR
from producer.sheet.picture import Picture, once
from producer.sheet.wording import Wording, told_apart

_TEXTS = ("prompt", "negative_prompt")


@dataclass(frozen=True, slots=True)
class Captions:
    """Says what the cells of one set of images are.

    Attributes:
        layout: Which axis goes where.
        words: Axis to how its labels are shown.
    """

    layout: Layout
    words: Mapping[str, Wording]

    def heading(self, axis: str | None, label: str) -> str:
        """Return the heading of a row or column; empty if there is no axis."""
        if axis is None:
            return ""
        return named(axis, self.words[axis].shown.get(label, label))

    def title(self, panel: Sequence[str]) -> str:
        """Return the title of a panel, the axes with the shortest labels first."""
        longest = {
            axis: max(map(len, self.words[axis].shown.values()), default=0)
            for axis in self.layout.panels
        }
        both = zip(self.layout.panels, panel, strict=True)
        ordered = sorted(both, key=lambda one: longest[one[0]])
        return SEPARATOR.join(self.heading(*one) for one in ordered)

    def notes(self, shown: Sequence[Picture]) -> str:
        """Say what the images of a page have in common, and how many are not made.

        Args:
            shown: The image of each cell that has one.
        """
        notes = [*self._facts(once(shown)), *_counts(shown), *self._texts(once(shown))]
        return SEPARATOR.join(notes)

    def _facts(self, shown: Sequence[Picture]) -> Iterator[str]:
        common = _common_facts(shown)
        if "model" in common:
            yield Path(common["model"]).name
        if "width" in common and "height" in common:
            yield f"{common['width']} x {common['height']}"
        for name in ("scheduler", "steps", "guidance", "seed"):
            if name in common and name not in self.layout.labels:
                value = common[name]
                yield named(name, f"{value:g}" if name == "guidance" else str(value))
        for axis, label in self.layout.fixed.items():
            if axis.partition(".")[0] not in common:
                yield named(axis, label)

    def _texts(self, shown: Sequence[Picture]) -> Iterator[str]:
        common = _common_facts(shown)
        for axis in _TEXTS:
            if common.get(axis) and axis not in self.layout.labels:
                yield named(axis, f"“{common[axis]}”")
        for axis, words in self.words.items():
            if words.common:
                yield named(axis, f"“{words.common}”")


def make_captions(layout: Layout) -> Captions:
    """Choose how the labels of a layout are shown."""
    words = {
        axis: told_apart([label for label in labels if label])
        for axis, labels in layout.labels.items()
    }
    return Captions(layout, words)


def _counts(shown: Sequence[Picture]) -> Iterator[str]:
    images = once(shown)
    if len(images) < len(shown):
        yield "some cells share one image"
    made = sum(picture.state == "done" for picture in images)
    if made < len(images):
        yield f"{made:,} of {len(images):,} images made"


def _common_facts(shown: Sequence[Picture]) -> dict[str, Any]:
    first = shown[0].facts if shown else {}
    return {
        name: value
        for name, value in first.items()
        if all(picture.facts[name] == value for picture in shown)
    }
