"""Thumbnails and images, found by key and by nothing else."""

import os
import re
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from gallery.error_answers import NotThereError
from gallery.request_fields import path_key
from storage.errors import ImageStoreError
from storage.files.images import relative_path
from storage.files.places import find_local, place_at
from storage.files.thumbnails import find_or_make

_TYPES = {".png": "image/png", ".webp": "image/webp"}
#: Digits of the hash of an image's pixels, which say which picture an address means.
_VERSION = re.compile(r"[0-9a-f]{8}")
#: For an address that means one picture forever.
IMMUTABLE = "private, max-age=31536000, immutable"
#: For one whose picture may change: kept, but asked about again.
CHECKED = "private, no-cache"


def get_thumbnail(request: Request) -> Response:
    """Answer with the thumbnail of an image, or with itself where it is small.

    Raises:
        UsageError: The key is none, or has no image here.
    """
    key = path_key(request)
    images = request.app.state.site.settings.images
    try:
        return send_file(request, find_or_make(images, key))
    except (ImageStoreError, FileNotFoundError):
        if find_local(images, relative_path(key)):
            raise
        raise _no_image(key) from None


def get_image(request: Request) -> Response:
    """Answer with the file of an image; `?download=1` has the browser save it.

    Raises:
        UsageError: The key is none, or has no image here.
    """
    key = path_key(request)
    images = request.app.state.site.settings.images
    try:
        answer = send_file(request, place_at(images).local(relative_path(key)))
    except FileNotFoundError:
        raise _no_image(key) from None
    if request.query_params.get("download") == "1":
        answer.headers["content-disposition"] = f'attachment; filename="{key}.png"'
    return answer


def send_file(request: Request, path: Path) -> Response:
    """Answer with a picture's file, or that what the browser has is still right.

    Raises:
        FileNotFoundError: It is not there.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        is_fixed = _VERSION.fullmatch(request.query_params.get("v", ""))
        headers = {"etag": tag, "cache-control": IMMUTABLE if is_fixed else CHECKED}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.read(), headers=headers, media_type=_TYPES[path.suffix])


def _no_image(key: str) -> NotThereError:
    return NotThereError(
        f"An image must be made to be shown, but {key} has no file in this image "
        "folder; `nightsweep show` says where it was written, and `nightsweep verify` "
        "finds lost ones."
    )
