"""The name of a sweep in the text of its spec."""

from collections.abc import Iterator
from contextlib import suppress

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
)

from storage.errors import UsageError

#: Depth of events between the braces of the outermost mapping.
_OUTERMOST = 1
#: Events with which a key or a value begins.
_STARTS = (ScalarEvent, AliasEvent, CollectionStartEvent)


def with_name(text: str, name: str) -> str:
    """Return the text of a spec with another name; all else stays as it was written.

    Args:
        text: YAML or JSON with a name.
        name: Letters, digits, dots, hyphens and underscores.

    Raises:
        UsageError: No name is found in it.
    """
    with suppress(yaml.YAMLError):
        for event in _values_of_name(text):
            start, end = event.start_mark, event.end_mark
            if start and end:  # a parser of text has both
                new = _written(event, name)
                return f"{text[: start.index]}{new}{text[end.index :]}"
    msg = "a spec must have a name at its outermost level to get another, got none"
    raise UsageError(msg)


def _values_of_name(text: str) -> Iterator[Event]:
    """Yield what is written for `name`; the text is read no further than that."""
    depth, outermost = 0, list[Event]()
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if depth == _OUTERMOST and isinstance(event, _STARTS):
            outermost.append(event)
            is_value = len(outermost) % 2 == 0
            if is_value and getattr(outermost[-2], "value", None) == "name":
                yield event
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


def _written(event: Event, name: str) -> str:
    """Return a name as the old one is written: in quotes, or with its anchor."""
    if not isinstance(event, ScalarEvent):
        return name
    anchor = f"&{event.anchor} " if event.anchor else ""
    quote = event.style if event.style in ("'", '"') else ""
    if not quote and name.lower() == "null":
        quote = '"'
    end = "\n" if event.style in ("|", ">") else ""
    return f"{anchor}{quote}{name}{quote}{end}"
