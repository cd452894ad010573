"""Values as people write them: 20, 10..20, <=8, 2026-11-01, 512x512, yes."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from storage.job import canonical_json

#: The largest number that a column can hold.
LARGEST = 2**63 - 1

_SIGNED = re.compile(r"(?P<sign><=|>=|<|>|=)(?P<text>.*)", re.DOTALL)
_SPANS = (  # how exact a moment is, by the length of its text without a zone
    (re.compile(r"\d{4}-\d\d-\d\d"), timedelta(days=1)),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d"), timedelta(hours=1)),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d"), timedelta(minutes=1)),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"), timedelta(seconds=1)),
)
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class MisreadError(ValueError):
    """A text that is no value of a column."""

    def __init__(self, rule: str, hint: str = "") -> None:
        """Take what the value must be, and a way out to follow it."""
        super().__init__(rule)
        self.rule = rule
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Values from `low` to `high`, both included unless open; None is no bound."""

    low: Any = None
    high: Any = None
    is_low_open: bool = False
    is_high_open: bool = False


class _Anything:
    """Any value at all, written `*`."""


ANYTHING = _Anything()


def read_number(text: str) -> Any:
    """Read a number, or a span of numbers.

    Raises:
        MisreadError: It is neither, or its bounds are in the wrong order.
    """
    rule = "a number or a range such as 10..20, ..8 or 30.., separated by commas"
    return _read_span(text, _number, rule=rule)


def read_moment(text: str) -> Span:
    """Read a date or time, or a span of them; all in UTC unless a zone is given.

    Returns:
        Text as the database has it. A day is a span from its first moment to its last.

    Raises:
        MisreadError: It is neither, or its bounds are in the wrong order.
    """
    rule = "a date or time such as 2026-11-01 or 2026-11-01T18:30, or a range of them"
    found = _read_span(text, _moment, rule=rule)
    if not isinstance(found, Span):
        found = Span(low=found, high=found)
    low = found.low and found.low[1 if found.is_low_open else 0]
    high = found.high and found.high[0 if found.is_high_open else 1]
    return Span(low=low, high=high, is_high_open=True)


def read_start(text: str) -> str:
    """Read a date or time; return its first moment as the database has it.

    Raises:
        MisreadError: It is neither.
    """
    try:
        return _moment(text)[0]
    except (ValueError, OverflowError):
        rule = "a date or time such as 2026-11-01 or 2026-11-01T18:30, in UTC"
        raise MisreadError(rule) from None


def read_flag(text: str) -> bool:
    """Read yes or no.

    Raises:
        MisreadError: It is neither.
    """
    if text.casefold() not in _FLAGS:
        rule = "yes or no"
        raise MisreadError(rule)
    return _FLAGS[text.casefold()]


def read_size(text: str) -> tuple[int, int]:
    """Read a width and a height, `512x768`.

    Raises:
        MisreadError: It is not of that form.
    """
    found = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text)
    if not found:
        rule = "a width and a height such as 512x768"
        raise MisreadError(rule)
    return int(found[1]), int(found[2])


def read_key(text: str) -> str:
    """Read a key or the beginning of one.

    Raises:
        MisreadError: It cannot be either.
    """
    digits = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        rule = "1 to 32 hex digits"
        raise MisreadError(rule, "`nightsweep find` lists the keys")
    return digits


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of a few words.

    It raises MisreadError for any other word, with the nearest of them.
    """

    def read(text: str) -> str:
        word = text.strip().casefold()
        if word in choices:
            return word
        near = get_close_matches(word, choices, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        rule = f"one of {', '.join(choices)}"
        raise MisreadError(rule, hint)

    return read


def _read_span(text: str, read: Callable[[str], Any], *, rule: str) -> Any:
    if text == "..":
        raise MisreadError(rule, "give it a bound")
    try:
        if signed := _SIGNED.fullmatch(text):
            return _compared(signed["sign"], read(signed["text"]))
        low, dots, high = text.partition("..")
        if not dots:
            return read(text)
        span = Span(low=read(low) if low else None, high=read(high) if high else None)
    except (ValueError, OverflowError):
        raise MisreadError(rule) from None
    if span.low is not None and span.high is not None and span.low > span.high:
        rule = "a range from low to high"
        raise MisreadError(rule, "turn it round")
    return span


def text_of(value: Any) -> str:
    """Return a value as people write it: 7.0 as `7`, a size as `512x768`, `yes`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return value if isinstance(value, str) else canonical_json(value)


def _compared(sign: str, value: Any) -> Any:
    if sign == "=":
        return value
    is_open = len(sign) == 1
    if sign.startswith("<"):
        return Span(high=value, is_high_open=is_open)
    return Span(low=value, is_low_open=is_open)


def _number(text: str) -> float:
    number = int(text) if re.fullmatch(r"\d+", text) else float(text)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise ValueError(text)
    return number


def _moment(text: str) -> tuple[str, str]:
    """Return the first moment of a time, and the first after it."""
    start = datetime.fromisoformat(text)
    exact = (length for form, length in _SPANS if form.fullmatch(text))
    length = next(exact, timedelta(microseconds=1))
    if start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    return _stored(start), _stored(start + length)


def _stored(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
