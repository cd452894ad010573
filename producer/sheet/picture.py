"""An image of a sweep as a contact sheet sees it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.sheet.layout import Labelled

#: Stands for the state of an image that was made but whose file is gone.
FILE_MISSING = "file missing"
#: Parameters that a picture knows, to note what the images of a page share.
FACTS = (
    *("model", "width", "height", "scheduler", "steps", "guidance", "seed"),
    *("prompt", "negative_prompt"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of a sweep, made or not.

    Attributes:
        key: The job's.
        cell: Its labels on each axis.
        state: State of the job, or `FILE_MISSING`.
        path: Absolute path of the file, or None.
        facts: `FACTS` by name; those that a page's images share are noted on it.
    """

    key: str
    cell: Labelled
    state: str
    path: Path | None
    facts: Mapping[str, Any]


def once(pictures: Iterable[Picture]) -> list[Picture]:
    """Return each image once, however many cells show it."""
    return list({id(picture): picture for picture in pictures}.values())
