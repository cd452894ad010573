"""Numbers and ranges, as people ask for them: 20, "4,8", "10..20", [8, "30.."]."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import UsageError

#: The largest number that a column can hold.
LARGEST = 2**63 - 1

_RANGE = re.compile(r"(?P<low>[^.]*(?:\.\d+)?)\.\.(?P<high>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; None is open."""

    low: float | None
    high: float | None

    def __contains__(self, value: float) -> bool:
        """Return whether a number is in the range."""
        return (self.low is None or value >= self.low) and (
            self.high is None or value <= self.high
        )


#: What a number may be: any of these.
Numbers = Sequence[float | Range]
#: How people ask for numbers; None asks for nothing.
Asked = float | str | Sequence[float | str] | None


def read_numbers(asked: Asked, *, name: str) -> list[float | Range]:
    """Read what people ask of a number; an empty list asks for nothing.

    Args:
        asked: A number; text such as `4`, `4,8`, `10..20`, `..8` or `30..`; or a list
            of these.
        name: What the number is, for the message.

    Raises:
        UsageError: It is none of these.
    """
    if asked is None:
        return []
    if isinstance(asked, str):
        return [_parse(part.strip(), name=name) for part in asked.split(",")]
    if isinstance(asked, Sequence):
        return [one for each in asked for one in read_numbers(each, name=name)]
    return [_parse(str(asked), name=name)]


def _parse(text: str, *, name: str) -> float | Range:
    found = _RANGE.fullmatch(text)
    try:
        if not found:
            return _number(text)
        low, high = (_number(each) if each else None for each in found.groups())
    except ValueError:
        msg = (
            f"{name} must be a number or a range such as 10..20, ..8 or 30.., "
            f"separated by commas, got {text!r}."
        )
        raise UsageError(msg) from None
    if low is not None and high is not None and low > high:
        msg = f"{name} must be a range from low to high, got {text!r}; turn it round."
        raise UsageError(msg)
    return Range(low=low, high=high)


def _number(text: str) -> float:
    number = int(text) if re.fullmatch(r"\d+", text) else float(text)
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise ValueError(text)
    return number
