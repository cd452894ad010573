"""Errors as the pages show them: one sentence, without a path of this machine."""

import json
import logging
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gallery.security import refusal
from storage.errors import (
    DatabaseError,
    ImageStoreError,
    NightsweepError,
    QueueError,
    UsageError,
)
from storage.settings import Settings

log = logging.getLogger(__name__)


class NotThereError(UsageError):
    """What is asked for is not there."""


def status_of(error: NightsweepError) -> HTTPStatus:
    """Return the status that tells a program what kind of error this is."""
    if isinstance(error, NotThereError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, DatabaseError | QueueError | ImageStoreError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def say(error: NightsweepError, settings: Settings) -> str:
    """Return an error as people read it, with names in place of our folders."""
    return without_paths(str(error), settings)


def without_paths(text: str, settings: Settings) -> str:
    """Return a text with names in place of our folders and of our program."""
    for path, name in _names(settings):
        text = text.replace(path, name)
    return text


def _names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield folders and the names to show in their place, the longest first."""
    found = {
        str(settings.images): "$NIGHTSWEEP_IMAGES",
        str(settings.home): "$NIGHTSWEEP_HOME",
        str(Path.home()): "~",
        str(Path.cwd()): ".",
        sys.argv[0]: "nightsweep",
    }
    if settings.database_path:
        found[str(settings.database_path)] = "the database"
    named = {path: name for path, name in found.items() if len(path) > 1}
    yield from sorted(named.items(), key=lambda one: -len(one[0]))


def answer_error(request: Request, error: Exception) -> Response:
    """Answer with one of our errors; an exception handler of Starlette."""
    assert isinstance(error, NightsweepError)  # noqa: S101 - registered for these
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s", error, extra={"action": "request_failed"})
    return refusal(request.scope, status, say(error, request.app.state.site.settings))


def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer where no route fits; likewise."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    sentences = {
        HTTPStatus.NOT_FOUND: "The address must be one of the gallery's, but this is "
        "none; the pages have links to all of them.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address takes another method.",
    }
    status = HTTPStatus(error.status_code)
    return refusal(request.scope, status, sentences.get(status, status.phrase))


def to_json(value: Any) -> bytes:
    """Return a value as JSON; numbers that are not finite become null."""
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except ValueError:
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
