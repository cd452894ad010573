"""Changes that pages ask for: of sweeps, ratings and votes.

`gallery.security` has let them through: they come from our own pages.
"""

from contextlib import closing
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from gallery.api import JsonAnswer
from gallery.error_answers import without_paths
from gallery.request_fields import (
    VERDICTS,
    path_verb,
    read_body,
    read_choice,
    read_combinations,
    read_key,
    read_keys,
    read_stars,
    read_text,
)
from gallery.site import Site
from storage.errors import UsageError
from storage.ratings.rating import rate
from storage.ratings.voting import vote
from storage.settings import Settings
from storage.sql.database import Database, open_existing


async def post_verb(request: Request) -> Response:
    """Pause, resume, cancel, retry or start a sweep, and answer what was done."""
    verb, name = path_verb(request), request.path_params["name"]
    said = await run_in_threadpool(request.app.state.site.actions.change, verb, name)
    return _said(request, said)


async def post_fill(request: Request) -> Response:
    """Ask for images that are not made, and answer what was done."""
    body = await read_body(request)
    query, keys = read_text(body, "q"), read_keys(body, least=0)
    filled = await run_in_threadpool(request.app.state.site.actions.fill, query, keys)
    return _said(request, filled.said, idle=filled.idle)


async def post_addition(request: Request) -> Response:
    """Add combinations to a sweep, or answer how many images that would be."""
    body = await read_body(request)
    query, combinations = read_text(body, "q"), read_combinations(body)
    is_agreed = body.get("sure") is True
    add = partial(request.app.state.site.actions.add, is_agreed=is_agreed)
    added = await run_in_threadpool(add, query, combinations)
    return _said(request, added.said, count=added.count, idle=added.idle)


async def post_rating(request: Request) -> Response:
    """Rate images, and answer how many ratings that changed."""
    body = await read_body(request)
    keys, stars = read_keys(body), read_stars(body)
    verdict = read_choice(body, "verdict", VERDICTS) if body.get("verdict") else None
    if stars is None and verdict is None:
        msg = "A rating must have `stars` or a `verdict`."
        raise UsageError(msg)
    site: Site = request.app.state.site
    changed = await run_in_threadpool(
        _rate, site, keys, given={"stars": stars, "verdict": verdict}
    )
    return JsonAnswer({"changed": changed})


async def post_vote(request: Request) -> Response:
    """Store which of two images is better, and answer what they are."""
    body = await read_body(request)
    asked = {
        "a": read_key(body.get("a")),
        "b": read_key(body.get("b")),
        "winner": read_choice(body, "winner", ("a", "b", "tie")),
        "by": read_text(body, "by"),
        "query": read_text(body, "q"),
    }
    return JsonAnswer(await run_in_threadpool(_vote, request.app.state.site, asked))


def _said(request: Request, sentences: str, **more: Any) -> Response:
    settings = request.app.state.site.settings
    return JsonAnswer({"said": without_paths(sentences, settings), **more})


def _rate(site: Site, keys: Any, *, given: dict[str, Any]) -> int:
    with closing(_open_to_write(site.settings)) as database:
        return rate(database, keys, who=site.who, **given)


def _vote(site: Site, asked: dict[str, Any]) -> dict[str, Any]:
    with closing(_open_to_write(site.settings)) as database:
        voted = vote(database, who=site.who, **asked)
    labels = {"a": {"label": voted.a}, "b": {"label": voted.b}}
    return {"votes": voted.votes, **labels}


def _open_to_write(settings: Settings) -> Database:
    database = open_existing(settings.database_url)
    if database is None:
        msg = "There must be images to rate, but nothing was submitted yet."
        raise UsageError(msg)
    return database
