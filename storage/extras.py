"""Extras of jobs, such as `eta`: which are asked for, and which differ."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from storage.job import EXTRAS
from storage.ranges import Numbers, Range


def differing(texts: Iterable[str]) -> list[str]:
    """Name the extras that are not the same in all of these JSON texts."""
    found = [_read(text) for text in texts]
    return [name for name in EXTRAS if len({each[name] for each in found}) > 1]


def fitting(
    texts: Iterable[str], *, clip_skip: Numbers, eta: Numbers, tag: str | None
) -> list[str]:
    """Return those JSON texts that have what is asked for.

    Args:
        texts: Extras as `jobs` has them, without those that are neutral.
        clip_skip: Any of these; empty where it is not asked for.
        eta: The same.
        tag: The whole tag; None where it is not asked for.
    """
    return [
        text
        for text in texts
        for extras in (_read(text),)
        if _is_among(extras["clip_skip"], clip_skip)
        and _is_among(extras["eta"], eta)
        and tag in (None, extras["tag"])
    ]


def _read(text: str) -> Mapping[str, Any]:
    return {**EXTRAS, **json.loads(text)}


def _is_among(value: float, numbers: Numbers) -> bool:
    return not numbers or any(
        value in each if isinstance(each, Range) else value == each for each in numbers
    )
