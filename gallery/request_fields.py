"""What a request asks, read from its address and its JSON, and checked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request

from gallery.actions import VERBS, Verb
from gallery.error_answers import NotThereError
from gallery.pivot import MOST_IMAGES
from storage.errors import UsageError
from storage.files.images import KEY

#: What a rating may say besides stars; `none` takes it back.
VERDICTS = ("accepted", "rejected", "none")
#: Most combinations that are added to a sweep at once.
MOST_COMBINATIONS = 500
#: Begins the name of a field that fixes an axis: `fix.steps=20`.
_FIX = "fix."


def read_key(text: object) -> str:
    """Return a key, of which a path may be made.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(text, str) or not KEY.fullmatch(text):
        msg = "A key must be 32 hex digits; the grid has the keys of all images."
        raise UsageError(msg)
    return text


def path_key(request: Request) -> str:
    """Return the key at the end of an address."""
    return read_key(request.path_params["key"])


def read_fixes(params: QueryParams) -> dict[str, str]:
    """Return the axes that stay at one label: `?fix.steps=20&fix.seed=1`."""
    return {
        name.removeprefix(_FIX): value
        for name, value in params.multi_items()
        if name.startswith(_FIX) and len(name) > len(_FIX)
    }


async def read_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        UsageError: There is none.
    """
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        msg = "The body must be a JSON object."
        raise UsageError(msg)
    return found


def read_keys(body: Mapping[str, Any], *, least: int = 1) -> Sequence[str]:
    """Return the field `keys`.

    Raises:
        UsageError: It is not a list of keys, or too long or short.
    """
    found = body.get("keys", [])
    if not isinstance(found, list) or not least <= len(found) <= MOST_IMAGES:
        msg = f"`keys` must be a list of {least} to {MOST_IMAGES:,} keys."
        raise UsageError(msg)
    return [*dict.fromkeys(map(read_key, found))]


def read_combinations(body: Mapping[str, Any]) -> Sequence[Mapping[str, list[str]]]:
    """Return the field `combinations`: objects of axes, each with a list of labels.

    Raises:
        UsageError: It is something else, or too long.
    """
    found = body.get("combinations")
    if (
        not isinstance(found, list)
        or not 1 <= len(found) <= MOST_COMBINATIONS
        or not all(map(_is_combination, found))
    ):
        msg = (
            f"`combinations` must be a list of 1 to {MOST_COMBINATIONS} objects, each "
            "with a list of labels for every axis; select fewer cells."
        )
        raise UsageError(msg)
    return found


def _is_combination(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(labels, list) and labels and all(isinstance(x, str) for x in labels)
        for labels in found.values()
    )


def read_text(body: Mapping[str, Any], name: str) -> str:
    """Return a field of text; empty where it is left out.

    Raises:
        UsageError: It is no text.
    """
    found = body.get(name, "")
    if not isinstance(found, str):
        msg = f"`{name}` must be text."
        raise UsageError(msg)
    return found


def read_stars(body: Mapping[str, Any]) -> int | None:
    """Return the field `stars`: 1 to 5, 0 to take them back, None to leave them.

    Raises:
        UsageError: It is something else.
    """
    found = body.get("stars")
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= 5:
        msg = "`stars` must be 1 to 5, or 0 to take them back."
        raise UsageError(msg)
    return found


def read_choice(body: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """Return a field that is one of a few words.

    Raises:
        UsageError: It is something else.
    """
    found = body.get(name)
    if not isinstance(found, str) or found not in choices:
        msg = f"`{name}` must be {', '.join(choices[:-1])} or {choices[-1]}."
        raise UsageError(msg)
    return found


def path_verb(request: Request) -> Verb:
    """Return what is to be done to a sweep, from the address.

    Raises:
        NotThereError: There is no such command.
    """
    for verb in VERBS:
        if request.path_params["verb"] == verb:
            return verb
    msg = f"A sweep takes {', '.join(VERBS[:-1])} or {VERBS[-1]}."
    raise NotThereError(msg)
