"""The files of a contact sheet: one for each page, in the format of their suffix."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from producer.display.counting import counted
from producer.sheet.drawing import draw_sheet
from producer.sheet.lettering import Lettering
from producer.sheet.pages import Pages
from storage.errors import ImageStoreError, UsageError
from storage.host.atomic_writes import replacing

#: Suffix of a file to Pillow's format and options.
FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 92}),
}


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


def save_pages(pages: Pages, file: Path, *, lettering: Lettering) -> list[Path]:
    """Draw and write each page; several get numbers, such as sheet-1.png.

    Args:
        pages: What to draw.
        file: Where to write, with one of the suffixes of `FORMATS`.
        lettering: Typefaces of the pages' texts.

    Raises:
        ImageStoreError: A file cannot be written.
    """
    kind, options = FORMATS[file.suffix.lower()]
    count = len(pages.sheets)
    digits = len(str(count))
    paths = []
    sheets = counted(pages.sheets, "Drawing pages", total=count)
    for number, sheet in enumerate(sheets, start=1):
        numbered = file.with_stem(f"{file.stem}-{number:0{digits}}")
        path = numbered if count > 1 else file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as fresh:
                draw_sheet(sheet, lettering=lettering).save(fresh, kind, **options)
        except OSError as exc:
            msg = (
                f"a contact sheet must be writable, but {path} gives: {exc}; "
                "name another file with --out."
            )
            raise ImageStoreError(msg) from exc
        paths.append(path)
    return paths
