"""What an axis of a pivot is: labels in their order, and those of each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gallery.pivoting.image_rows import Table
from storage.queries.scope import Condition

#: The labels of one image on an axis: several where they mean the same, none where the
#: axis has no effect on it.
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis, with the labels of some images.

    Attributes:
        name: As the sweep or the query language calls it.
        labels: Those that some image has, in the order of display.
        of_images: The labels of each image.
    """

    name: str
    labels: Sequence[str]
    of_images: Sequence[Labels]


class Axes(Protocol):
    """The axes of one query's images."""

    def read(self, table: Table) -> list[Axis]:
        """Return all axes of some images, in the order of display."""

    def size(self, axis: Axis) -> int:
        """Return about how many labels all images of the query have on an axis."""

    def all_labels(self, name: str, seen: Sequence[str]) -> list[str]:
        """Return the labels of an axis that all images of the query have.

        Args:
            name: The axis.
            seen: Labels that some of these images have.
        """

    def has(self, name: str, label: str, *, is_value: bool) -> Condition:
        """Return a condition for images with a label; some others may meet it too.

        Args:
            name: The axis.
            label: One of its labels.
            is_value: Whether the label is the value itself, as for a seed without a
                label of its own, so that an index finds it.
        """


def is_part(name: str) -> bool:
    """Return whether an axis is a part of a prompt; other axes have no dots."""
    return name.startswith("prompt.")


def only(axis: Axis, indexes: Sequence[int]) -> Axis:
    """Return an axis with some of its images only, and with their labels."""
    of_images = [axis.of_images[index] for index in indexes]
    seen = {label for labels in set(of_images) for label in labels}
    labels = [label for label in axis.labels if label in seen]
    return Axis(name=axis.name, labels=labels, of_images=of_images)
