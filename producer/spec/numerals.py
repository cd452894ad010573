"""Numbers and ranges as other programs write them, and how to write them here."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal

#: The most values that a way out lists; more are only counted.
_MOST_SPELT = 12
_DEFAULT = "leave it out for the default"
_RANGE = "write a range under `axes`, {start: 3, stop: 9, step: 2}"
#: Words in place of a number.
_WORDS = {
    **dict.fromkeys(("auto", "automatic", "default", "none"), _DEFAULT),
    **dict.fromkeys(("..", "..."), _RANGE),
}
_RANDOM = frozenset({"-1", "random", "rand", "randomize", "any"})
_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"
#: `4-20`, `4..20`, `4:20:4`, `4 to 20 by 4`; A1111's `4-20 (+4)`, which is a step, and
#: `1-10 [5]`, which is a count.
_ENDS = re.compile(
    rf"{_NUMBER}\s*(?:-|:|\.\.\.?|to)\s*{_NUMBER}\s*"
    rf"(?:(?:[(:]|by|step|(?=[+-]))\s*([+-]?)\s*{_NUMBER}\s*\)?"
    r"|\[\s*([0-9]{1,6})\s*\])?"
)
#: Swarm's `1, 2, .., 10`.
_GAP = re.compile(rf"{_NUMBER},(?:{_NUMBER},)?\.\.\.?,{_NUMBER}")
#: Hydra's `range(1,10)` and `range(1,9,step=2)`, which end before their stop.
_CALL = re.compile(
    rf"range\((?:(?:start=)?{_NUMBER},)?(?:stop=)?{_NUMBER}(?:,(?:step=)?{_NUMBER})?\)"
)
_CHOICE = re.compile(r"choice\(([^()]+)\)")
_SIDES = re.compile(r"([0-9]{1,5})\s*[x*]\s*([0-9]{1,5})")
_SIGNED = r"[+-]?[0-9]+(?:\.[0-9]+)?"
_LIST = re.compile(rf"{_SIGNED}(?:(?:\s*[,;]\s*|\s+){_SIGNED})+")


def way_out_of_number(name: str, text: str, *, is_whole: bool) -> str | None:
    """Return what to write instead of a text that is not a number, or None.

    Args:
        name: The parameter.
        text: As it was written; a seed may be -1.
        is_whole: Whether the parameter takes whole numbers only.
    """
    plain = text.strip().lower()
    if name == "seed" and plain in _RANDOM:
        return (
            "no seed is drawn at random, so that every image can be made again; write "
            "numbers, such as {start: 0, count: 4} under `axes`"
        )
    if name in ("width", "height") and (sides := _SIDES.fullmatch(plain)):
        return f"write `width: {sides[1]}` and `height: {sides[2]}`"
    if _LIST.fullmatch(plain):
        return list_of(re.findall(_SIGNED, plain))
    dense = "".join(plain.split())
    return (
        _WORDS.get(plain)
        or _way_out_of_ends(plain, is_whole=is_whole)
        or _way_out_of_gap(dense)
        or _way_out_of_call(dense)
        or (way_out_of_list(plain) if _CHOICE.fullmatch(plain) else None)
    )


def way_out_of_list(text: str) -> str | None:
    """Return what to write instead of `a,b` or Hydra's `choice(a,b)`, or None."""
    call = _CHOICE.fullmatch(text.strip())
    inner = call[1] if call else text
    return list_of(inner.split(",")) if call or "," in text else None


def way_out_of_count(
    start: Decimal, stop: Decimal, count: int, *, is_whole: bool
) -> str:
    """Return how to write `count` values between two ends here.

    Whole numbers are truncated as in A1111: 5 from 1 to 10 are 1, 3, 5, 7 and 10.
    """
    step = (stop - start) / max(1, count - 1)
    if step == round(step, 0 if is_whole else 6):
        return range_of(start=start, count=count, step=step)
    if count > _MOST_SPELT:
        return f"write its {count} values as a list"
    values = [start + step * index for index in range(count)]
    return list_of(_shown(int(each) if is_whole else round(each, 2)) for each in values)


def list_of(values: Iterable[str]) -> str:
    """Return the advice to write values as a list."""
    return f"write a list under `axes`, [{', '.join(each.strip() for each in values)}]"


def range_of(**parts: object) -> str:
    """Return the advice to write a range; parts that are None are left out."""
    written = [
        f"{key}: {_shown(part)}" for key, part in parts.items() if part is not None
    ]
    return f"write a range under `axes`, {{{', '.join(written)}}}"


def _way_out_of_ends(text: str, *, is_whole: bool) -> str | None:
    ends = _ENDS.fullmatch(text)
    if ends is None:
        return None
    start, stop, sign, step, count = ends.groups()
    if count:
        first, last = Decimal(start), Decimal(stop)
        return way_out_of_count(first, last, int(count), is_whole=is_whole)
    signed = f"{sign.lstrip('+')}{step}" if step else None
    return range_of(start=start, stop=stop, step=signed)


def _way_out_of_gap(text: str) -> str | None:
    gap = _GAP.fullmatch(text)
    if gap is None:
        return None
    start, second, stop = gap.groups()
    step = Decimal(second) - Decimal(start) if second else None
    return range_of(start=start, stop=stop, step=step)


def _way_out_of_call(text: str) -> str | None:
    call = _CALL.fullmatch(text)
    if call is None:
        return None
    start, stop, step = Decimal(call[1] or 0), Decimal(call[2]), Decimal(call[3] or 1)
    if step == 0 or stop <= start:
        return None
    count = math.ceil((stop - start) / step)
    return range_of(start=start, count=count, step=step if call[3] else None)


def _shown(number: object) -> str:
    return f"{number.normalize():f}" if isinstance(number, Decimal) else str(number)
