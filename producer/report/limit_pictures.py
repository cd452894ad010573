"""Images that show limits: before it, at it, and at many steps."""

from collections.abc import Iterator

from analysis.limits import Limits, Measured, SeriesLimit
from producer.report.content import PictureGrid, PictureRow
from producer.report.pictures import GRID_PX
from producer.report.thumbnails import thumbnails
from storage.files.images import relative_path
from storage.image_address import ImageAddress

#: Series in the grid.
MOST_SERIES = 6


def picture_limits(found: Limits, images: ImageAddress) -> PictureGrid | None:
    """Return the images that speak most against each limit, beside their references.

    Args:
        found: The limits.
        images: The image folder.

    Returns:
        None if no limit was found, or no file is there.
    """
    named = [one for one in found.series if one.limit.steps is not None]
    rows = [_row(one, images) for one in named[:MOST_SERIES]]
    if not any(picture for row in rows for picture in row.pictures):
        return None
    return PictureGrid(
        columns=["fewer steps", "at its limit", "many steps"],
        rows=rows,
        note=(
            "In each row, the image at its limit that is furthest from that of many "
            "steps, beside the one of the next fewer steps."
        ),
    )


def _row(one: SeriesLimit, images: ImageAddress) -> PictureRow:
    worst = max(_at(one, one.limit.steps), key=lambda row: row.value)
    fewer = [
        row
        for row in one.rows
        if (row.prompt, row.seed) == (worst.prompt, worst.seed)
        and row.steps < worst.steps
    ]
    before = max(fewer, key=lambda row: row.steps, default=None)
    steps = [before.steps] if before else []
    listed = ", ".join(map(str, [*steps, worst.steps]))
    keys = [before.key if before else None, worst.key, worst.reference]
    return PictureRow(
        label=(
            f"{one.series}, {listed} and {worst.reference_steps} steps: "
            f"{worst.prompt}, seed {worst.seed}"
        ),
        pictures=thumbnails(
            images,
            [relative_path(key) if key else None for key in keys],
            longer_px=GRID_PX,
        ),
    )


def _at(one: SeriesLimit, steps: int | None) -> Iterator[Measured]:
    return (row for row in one.rows if row.steps == steps)
