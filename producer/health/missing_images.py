"""Images that were written to a folder in whose place another folder is now."""

from producer.display.amounts import images as count_images
from producer.options import program
from storage.files.folders import Folder


def describe_missing(folder: Folder, count: int) -> str:
    """Say that images are not where they were written, and the ways out.

    Args:
        folder: The folder that is in that place now.
        count: How many images; at least one.
    """
    return (
        "The image folder must be the one that workers wrote to, but in its place is "
        f"another, {folder.path}, without {count_images(count)}; mount the disk that "
        f"holds them, or have them made again: `{program()} verify --repair --force`."
    )
