"""An export: a folder with one page that shows a pivot without any server.

It has the modules of the grid as one script, the pivot as JSON, and copies of the
pictures; a colleague opens `index.html` from the disk.
"""

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallery.exporting.exported_page import MARK, make_page
from gallery.exporting.image_copies import Copied, copy_images
from gallery.pivot import MOST_IMAGES, read_pivot
from storage.errors import ImageStoreError, UsageError
from storage.queries.answers import find
from storage.settings import Settings
from storage.sql.database import Database, open_for_reading

#: The page of an export, and its first characters, which have what it is known by.
PAGE = "index.html"
#: Columns of the view that say where an image was made, or that the pivot has.
_LEFT_OUT = frozenset(
    (
        *("path", "host", "worker", "cell", "position", "state", "error", "attempts"),
        *("prompt_template", "model_fingerprint", "scheduler_label", "pixel_sha256"),
        *("slot", "queue_s", "created_at", "sweep"),
    )
)
_OBJECTS = ("extras", "scheduler_options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What `export` wrote.

    Attributes:
        folder: The folder.
        images: Images with a picture in it.
        unmade: Images without one, since they are not made.
        gone: Images whose file could not be read, each with the reason, by key.
        size_bytes: Of all files.
    """

    folder: Path
    images: int
    unmade: int
    gone: Mapping[str, str]
    size_bytes: int


def export(
    settings: Settings,
    query: str,
    folder: Path,
    *,
    originals: bool = False,
    who: str = "",
    most: int = MOST_IMAGES,
) -> Exported:
    """Write a folder that shows the images of a query, or nothing at all.

    An earlier export in the folder is replaced.

    Args:
        settings: Where database and images are.
        query: Which images.
        folder: The folder; it may be missing or empty.
        originals: Whether the images are in it in full, besides their thumbnails.
        who: The person whose ratings are in it.
        most: Most images.

    Raises:
        UsageError: The query cannot be read, means no image or too many, or the folder
            has other files in it.
        ImageStoreError: The folder cannot be written.
    """
    folder = folder.absolute()
    _check_folder(folder)
    data = _read(settings, query, who=who, most=most)
    pivot = data["pivot"]
    done = pivot["states"].index("done")
    made = [
        key
        for key, state in zip(pivot["keys"], pivot["state"], strict=True)
        if state == done
    ]
    with _written(folder) as new:
        copies = list(copy_images(settings.images, made, new, originals=originals))
        _note_copies(data, copies)
        page = make_page(data, who=who).encode()
        (new / PAGE).write_bytes(page)
    gone = {each.key: each.problem for each in copies if each.problem}
    return Exported(
        folder=folder,
        images=len(copies) - len(gone),
        unmade=len(pivot["keys"]) - len(copies),
        gone=gone,
        size_bytes=len(page) + sum(each.size_bytes for each in copies),
    )


def _check_folder(folder: Path) -> None:
    """Refuse a folder that has anything but an earlier export in it."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.is_dir() and _is_export(folder):
        return
    msg = (
        "an export must go to a new or empty folder, or to an earlier export, but "
        f"{folder} has other files in it; name another folder."
    )
    raise UsageError(msg)


def _is_export(folder: Path) -> bool:
    try:
        page = (folder / PAGE).read_bytes()
    except OSError:
        return False
    return MARK.encode() in page


def _read(settings: Settings, query: str, *, who: str, most: int) -> dict[str, Any]:
    """Return the pivot of a query, and the parameters of its images by key."""
    database = open_for_reading(settings.database_url)
    if database is None:
        msg = (
            f"an export must have an image, but there is no database at {settings.home}"
            "; is NIGHTSWEEP_HOME set as for the sweeps?"
        )
        raise UsageError(msg)
    with closing(database):
        pivot = read_pivot(database, query, {}, most, who=who)
        if pivot["count"] < pivot["total"]:
            msg = (
                f"an export must have at most {most:,} images, got {pivot['total']:,}; "
                "add terms to the query, such as seed:0."
            )
            raise UsageError(msg)
        if not pivot["count"]:
            msg = f"an export must have an image, but none is meant by {query!r}."
            raise UsageError(msg)
        return {"pivot": pivot, "images": _parameters(database, query, pivot)}


def _parameters(
    database: Database, query: str, pivot: Mapping[str, Any]
) -> dict[str, Any]:
    known = set(pivot["keys"])
    found: dict[str, Any] = {}
    for row in find(database, query):
        image = {
            name: json.loads(value) if name in _OBJECTS else value
            for name, value in row.items()
            if value is not None and name not in _LEFT_OUT
        }
        if row["key"] in known:
            found[row["key"]] = image
    for name, values in pivot["scores"].items():
        for key, value in zip(pivot["keys"], values, strict=True):
            if value is not None and key in found:
                found[key].setdefault("scores", {})[name] = value
    return found


def _note_copies(data: dict[str, Any], copies: list[Copied]) -> None:
    """Tell the page where pictures are, and that some are not."""
    pivot = data["pivot"]
    places = {key: place for place, key in enumerate(pivot["keys"])}
    data["thumbs"] = {
        each.key: each.thumb for each in copies if each.thumb.endswith(".png")
    }
    data["files"] = {each.key: each.file for each in copies if each.file}
    for each in copies:
        if each.problem:
            place = places[each.key]
            pivot["state"][place] = pivot["states"].index("failed")
            pivot["errors"][str(place)] = "its file was gone when this was exported"


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of `folder` once it is whole."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        former = temporary.with_suffix(".old")
        if folder.exists():
            folder.rename(former)
        temporary.rename(folder)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as exc:
        msg = (
            f"The folder of an export must be writable, but {exc.filename} gives: "
            f"{exc.strerror}; free some disk space or name another folder."
        )
        raise ImageStoreError(msg) from exc
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
