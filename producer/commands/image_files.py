"""Image files among the words of a command: each stands for the image that it holds."""

from pathlib import Path

import click

from producer.display.messages import talk
from producer.query_options import QueryCommand
from storage.errors import UsageError
from storage.image_address import is_url
from storage.store import Store

#: Endings of files that may be a copy of an image.
_ENDINGS = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")


class ImageCommand(QueryCommand):
    """A command about a few images, each named by a key, a query or a file."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the key in the place of a file."""
        is_complete = not context.resilient_parsing  # not asked by a shell
        words = [_as_key(word) for word in args] if is_complete else args
        return super().parse_args(context, words)


def _as_key(word: str) -> str:
    if not word.lower().endswith(_ENDINGS):
        return word
    file = Path(word)
    if is_url(word):  # as `find --paths` has it, where images are in a bucket
        return file.stem
    if not file.is_file():
        msg = (
            f"an image file must be there to be looked up, got {word}; correct the "
            "path, or give the image's key."
        )
        raise UsageError(msg)
    with Store() as store:
        copies = store.recognise(file)
    if not copies:
        msg = (
            "a file must hold an image of this store to be looked up, but neither a "
            f"key in {word} nor its pixels are known in {store.settings.home}; set "
            "NIGHTSWEEP_HOME or NIGHTSWEEP_DATABASE_URL to those of its sweep."
        )
        raise UsageError(msg)
    if len(copies) > 1:
        others = f"{len(copies):,} images have the pixels of {word}"
        talk(f"{others}; this is the first of them by its key.")
    if copies[0].is_changed:
        talk(
            f"The pixels of {word} are not those that were stored: it is a thumbnail, "
            "or was changed or saved with losses."
        )
    return copies[0].key
