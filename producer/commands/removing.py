"""What `rm` and `prune` share: say what goes, ask, remove it, say what is gone."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from producer.display.amounts import images as count_images
from producer.display.amounts import size
from producer.display.messages import talk
from producer.options import program
from producer.submission.opening import opened_to_write
from storage.errors import ImageStoreError, UsageError
from storage.files.folders import Folder, take_folder
from storage.files.removals import remove_files
from storage.files.thumbnails import SIDE_PX
from storage.files.unused_inputs import UnusedInputs, remove_unused_inputs
from storage.jobs import leftovers, lifecycle
from storage.jobs.eviction import evict
from storage.jobs.forgetting import forget
from storage.jobs.leftovers import Leftovers
from storage.settings import Settings
from storage.sql.database import Database

#: For commands that remove no copies of input images.
NO_INPUTS = UnusedInputs()

yes_option = click.option(
    "--yes", is_flag=True, help="Remove it without asking. It is still said first."
)


@contextmanager
def opened_with_images(settings: Settings) -> Iterator[tuple[Database, Folder]]:
    """Open the database to write, and the image folder.

    Raises:
        UsageError: There is no database yet.
        ImageStoreError: The image folder is not there.
        WrongFolderError: It belongs to another database.
    """
    images = settings.images
    with opened_to_write(settings) as database:
        if isinstance(images, Path) and not images.is_dir():
            msg = (
                f"The image folder must be there, but {images} is not; mount it, or "
                "set NIGHTSWEEP_IMAGES to the folder that the workers use."
            )
            raise ImageStoreError(msg)
        yield database, take_folder(database, images)


def remove(
    database: Database,
    folder: Folder,
    found: Sequence[Leftovers],
    *,
    inputs: UnusedInputs = NO_INPUTS,
    is_agreed: bool,
) -> None:
    """Say what goes, ask unless that is agreed to, and remove it.

    Args:
        database: Where the rows are.
        folder: Where the images are, as `opened_with_images` yields it.
        found: What goes.
        inputs: Copies of input images that go.
        is_agreed: Whether nothing is asked.

    Raises:
        UsageError: Nobody can be asked.
        click.exceptions.Exit: The answer was no.
    """
    unfinished = leftovers.count_unfinished(database, folder.id)
    for line in describe(found, unfinished=unfinished, inputs=inputs):
        talk(line)
    if all(each.is_empty for each in found) and not (unfinished or inputs.digests):
        return
    if not is_agreed:
        _ask()
    for line in _carry_out(database, folder, found):
        talk(line)
    if inputs.digests:
        gone = sum(remove_unused_inputs(database, inputs))
        talk(f"Removed {_copies(gone)}.")


def describe(
    found: Sequence[Leftovers],
    *,
    unfinished: int = 0,
    inputs: UnusedInputs = NO_INPUTS,
) -> Iterator[str]:
    """Yield sentences about what would go, and what stays and why."""
    for name in (each.sweep.name for each in found if each.sweep):
        yield f"{name} leaves the list of sweeps."
    gone = [pixels for each in found for pixels in each.pixels]
    thumbnails = sum(max(pixels) > SIDE_PX for pixels in gone)
    count = len(gone) + thumbnails
    files = f"{count:,} file" if count == 1 else f"{count:,} files"
    if gone:
        taken = size(sum(each.size_bytes for each in found))
        rows_stay = "Their rows stay" if len(gone) > 1 else "Its row stays"
        yield (
            f"Goes: {count_images(len(gone))} ({files}, {taken}). {rows_stay} as "
            "evicted, with all scores and ratings, and nothing is made again by itself."
        )
    if rows := sum(len(each.rows) for each in found):
        yield f"Goes: {_rows(rows)} of images that were never made."
    if unfinished:
        yield f"Goes: what is left of {count_images(unfinished)} removed earlier."
    if inputs.digests:
        yield f"Goes: {_copies(len(inputs.digests))} ({size(inputs.size_bytes)})."
    if not (gone or rows or unfinished or inputs.digests):
        yield "There is no image to remove."
    if shared := sum(each.shared for each in found):
        yield f"Stays: {count_images(shared)} that other sweeps have, or archived ones."
    if elsewhere := sum(each.elsewhere for each in found):
        yield (
            f"Stays: {count_images(elsewhere)} in other image folders; give the "
            "command there, too."
        )


def _ask() -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = (
            "Removing must be agreed to, but nobody can be asked here, so nothing was "
            "removed; add --yes."
        )
        raise UsageError(msg)
    if not click.confirm("Remove it?", default=False, err=True):
        talk("Nothing was removed.")
        raise click.exceptions.Exit(1)


def _carry_out(
    database: Database, folder: Folder, found: Sequence[Leftovers]
) -> Iterator[str]:
    """Remove what was found; a sweep leaves the list when all of its images are gone.

    SQL says what goes before a file does, so the command may be given again at any
    moment.
    """
    rows = 0
    for each in found:
        for _ in evict(database, each.images, folder_id=folder.id, still=each.still):
            pass
        rows += sum(forget(database, each.rows, still=each.still))
    gone = sum(remove_files(database, folder.path, folder_id=folder.id))
    yield f"Removed {count_images(gone)}{f' and {_rows(rows)}' if rows else ''}."
    for sweep in (each.sweep for each in found if each.sweep):
        if not lifecycle.remove(database, sweep):
            yield (
                f"{sweep.name} stays in the list, since somebody changed it meanwhile; "
                f"look at it with `{program()} status {sweep.name}`."
            )


def _copies(count: int) -> str:
    copies = "1 copy" if count == 1 else f"{count:,} copies"
    return f"{copies} of input images that no job names"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
