"""Questions that pages ask, answered in JSON."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gallery.completion import complete
from gallery.error_answers import to_json
from gallery.neighbours import find_neighbours
from gallery.reader import Reader
from gallery.request_fields import path_key
from gallery.site import Site
from gallery.state import read_state
from storage.errors import NightsweepError
from storage.ratings.voting import choose_pair, read_votes
from storage.store import Store

#: Columns of the views that hold JSON as text.
_NESTED = ("scheduler_options", "extras", "cell")


class JsonAnswer(Response):
    """JSON as `to_json` writes it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of the body."""
        return to_json(content)


def get_sweeps(request: Request) -> Response:
    """Answer with how far every sweep is, and what the workers do."""
    return JsonAnswer(read_state(request.app.state.site, request.app.state.reader))


async def get_pivot(request: Request) -> Response:
    """Answer with the images of a query, each with its place on every axis."""
    found = await request.app.state.pivots.read(request.query_params)
    return Response(found, media_type=JsonAnswer.media_type)


def get_completion(request: Request) -> Response:
    """Answer with what may follow in a query, and its terms."""
    text = request.query_params.get("q", "")
    at = request.query_params.get("at", "")
    with _reader(request).opened() as database:
        found = complete(database, text, int(at) if at.isdecimal() else len(text))
    return JsonAnswer(found)


def get_image_facts(request: Request) -> Response:
    """Answer with everything that is known of an image.

    `?q=` is the query that the page came from, and `?among=` one of the queries that
    the answer named as `scopes`: what the neighbours are looked for in.
    """
    key = path_key(request)
    site: Site = request.app.state.site
    known = _open(Store(site.settings).show(key))
    with _reader(request).opened() as database:
        beside = find_neighbours(
            database,
            known,
            query=request.query_params.get("q", ""),
            scope=request.query_params.get("among", ""),
        )
    return JsonAnswer(
        {
            **known,
            "neighbours": beside.axes,
            "scopes": beside.scopes,
            "scope": beside.scope,
            "a1111": _or_none(site.actions.a1111, key),
            "script": _or_none(site.actions.script, key),
            "rating": _own_rating(known["ratings"], site.who),
        }
    )


def get_pair(request: Request) -> Response:
    """Answer with two images to choose from, without a word of what they are."""
    with _reader(request).opened() as database:
        pair = choose_pair(
            database,
            request.query_params.get("q", ""),
            by=request.query_params.get("by", ""),
            who=request.app.state.site.who,
            chance=random.SystemRandom(),
        )
    return JsonAnswer(asdict(pair) if pair else {"a": None, "b": None, "left": 0})


def get_preferences(request: Request) -> Response:
    """Answer with how often each value of an axis is preferred."""
    # Imported here: numpy and scipy take a while.
    from analysis.preferences import rank_values, say_limits

    query, by = request.query_params.get("q", ""), request.query_params.get("by", "")
    with _reader(request).opened() as database:
        votes = read_votes(database, query, by=by)
    rankings = rank_values(votes)
    return JsonAnswer(
        {
            "by": by,
            "votes": len(votes),
            "values": [
                {
                    "label": one.label,
                    "preference": one.preference,
                    "low": one.interval.low if one.interval else None,
                    "high": one.interval.high if one.interval else None,
                    "votes": one.votes,
                }
                for ranking in rankings
                for one in ranking.values
            ],
            "notes": say_limits(rankings),
        }
    )


def get_answer(request: Request) -> Response:
    """Answer with what `nightsweep report` says of a query."""
    asked = (request.query_params.get(name, "") for name in ("q", "by", "metric"))
    return JsonAnswer(request.app.state.site.actions.answer(*asked))


def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


def _or_none(ask: Any, key: str) -> str | None:
    """Return a text about an image; None where it has none, for any reason."""
    try:
        return ask(key) or None
    except NightsweepError:
        return None


def _own_rating(every: Sequence[Mapping[str, Any]], who: str) -> dict[str, Any]:
    """Return a person's rating among those of an image, as pages write ratings."""
    mine: Mapping[str, Any] = next((one for one in every if one["who"] == who), {})
    return {
        "stars": mine.get("stars") or 0,
        "verdict": mine.get("verdict") or "none",
    }


def _open(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Store.show` knows with its nested values parsed."""
    opened = dict(row)
    for name in _NESTED:
        if isinstance(opened.get(name), str):
            opened[name] = json.loads(opened[name])
    return opened
