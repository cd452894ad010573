"""The files of a contact sheet: one for each page, in the format of their suffix."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from producer.amounts import images
from producer.sheet.drawing import draw_sheet
from producer.sheet.lettering import choose_lettering
from producer.sheet.pages import Pages
from storage.errors import ImageStoreError, UsageError

#: Suffix to Pillow's format and options of a file.
FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 92}),
}
#: Images from which on the drawing shows how far it is.
MANY = 500


def check_file(file: Path) -> None:
    """Refuse a file that no sheet can be written to.

    Raises:
        UsageError: Its suffix is none of `FORMATS`, or its folder does not exist.
    """
    *most, last = FORMATS
    if file.suffix.lower() not in FORMATS:
        msg = f"--out must end in {', '.join(most)} or {last}, got {str(file)!r}."
        raise UsageError(msg)
    if not file.parent.is_dir():
        msg = (
            f"--out must lie in a folder that exists, got {str(file)!r}; make it first."
        )
        raise UsageError(msg)


def save_pages(pages: Pages, file: Path) -> list[Path]:
    """Draw and write each page; several are numbered, sheet-1.png.

    Raises:
        ImageStoreError: A file cannot be written.
    """
    kind, options = FORMATS[file.suffix.lower()]
    digits = len(str(len(pages.sheets)))
    lettering, paths = choose_lettering(pages.texts), []
    count, sheets = sum(pages.states.values()), len(pages.sheets)
    where = f" on {sheets} pages" if sheets > 1 else ""
    with progress_shown("Drawing", count, where=where) as tell:
        for number, sheet in enumerate(pages.sheets, start=1):
            numbered = file.with_stem(f"{file.stem}-{number:0{digits}}")
            path = numbered if len(pages.sheets) > 1 else file
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                image = draw_sheet(sheet, lettering=lettering, tell=tell)
                image.save(path, kind, **options)
            except OSError as exc:
                msg = (
                    f"a contact sheet must be writable, but {path} gives: {exc}; "
                    "name another file with --out."
                )
                raise ImageStoreError(msg) from exc
            paths.append(path)
    return paths


@contextmanager
def progress_shown(
    doing: str, count: int, *, where: str = ""
) -> Iterator[Callable[[], None]]:
    """Yield what to call after each image: it shows how far a large sheet is.

    Args:
        doing: `Reading` or `Drawing`.
        count: Images.
        where: What follows the count, where standard error is no terminal.
    """
    if count < MANY:
        yield lambda: None
    elif sys.stderr.isatty():
        with click.progressbar(length=count, label=doing, file=sys.stderr) as bar:
            yield lambda: bar.update(1)
    else:
        click.echo(f"{doing} {images(count)}{where}.", err=True)
        yield lambda: None
