"""Dataclasses from JSON that a stranger wrote: each value has the type of its field."""

from collections.abc import Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

#: What a column of numbers takes.
_INTEGERS = range(-(2**63), 2**63)

Made = TypeVar("Made")


def typed(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """Return a dataclass of some values.

    Raises:
        TypeError: A field is missing or unknown.
        ValueError: A value does not have the type of its field.
    """
    made = kind(**values)
    known: Any = kind  # mypy does not know that classes are hashable
    for name, hint in _hints(known).items():
        value = getattr(made, name)
        if not _fits(value, hint):
            msg = f"{name} cannot be {value!r:.60}"
            raise ValueError(msg)
    return made


@lru_cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if hint is str:
        # PostgreSQL takes no text with a zero in it.
        return isinstance(value, str) and "\x00" not in value
    if hint is float:
        return isinstance(value, float) or _fits(value, int)
    if hint is int:
        return type(value) is int and value in _INTEGERS
    return isinstance(value, get_origin(hint) or hint)
