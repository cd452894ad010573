"""Numbers and ranges as other programs write them, and how to write them here."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal

from producer.spec.problems import WayOut, shown

#: The most values that a way out lists; more are only counted.
_MOST_SPELT = 12
_DEFAULT = "leave it out for the default"
_RANGE = "{start: 3, stop: 9, step: 2}"
#: Seeds that a way out names.
SEEDS = "{start: 0, count: 4}"
#: Likewise, if they are to be drawn.
DRAWN = "{random: 4}"
#: Words in place of a number.
_WORDS = {
    **dict.fromkeys(("auto", "automatic", "default", "none"), _DEFAULT),
}
_GAPS = frozenset({"..", "..."})
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


def way_out_of_number(name: str, text: str, *, is_whole: bool) -> str | WayOut | None:
    """Return what to write instead of a text that is not a number, or None.

    Args:
        name: The parameter.
        text: As it was written; a seed may be -1.
        is_whole: Whether the parameter takes whole numbers only.
    """
    plain = text.strip().lower()
    if name == "seed" and plain in _RANDOM:
        return draw_instead("seeds are drawn before any image is made; ")
    if name in ("width", "height") and (sides := _SIDES.fullmatch(plain)):
        return WayOut(
            f"`width: {sides[1]}` and `height: {sides[2]}`",
            {"width": sides[1], "height": sides[2]},
        )
    if _LIST.fullmatch(plain):
        return list_of(name, re.findall(_SIGNED, plain))
    if plain in _GAPS:
        return _range(name, _RANGE)
    dense = "".join(plain.split())
    return (
        _WORDS.get(plain)
        or _way_out_of_ends(name, plain, is_whole=is_whole)
        or _way_out_of_gap(name, dense)
        or _way_out_of_call(name, dense)
        or (way_out_of_list(name, plain) if _CHOICE.fullmatch(plain) else None)
    )


def way_out_of_list(name: str, text: str) -> WayOut | None:
    """Return what to write instead of `a,b` or Hydra's `choice(a,b)`, or None."""
    call = _CHOICE.fullmatch(text.strip())
    inner = call[1] if call else text
    return list_of(name, inner.split(",")) if call or "," in text else None


def way_out_of_count(
    name: str, start: Decimal, *, stop: Decimal, count: int, is_whole: bool
) -> str | WayOut:
    """Return how to write `count` values between two ends here.

    Whole numbers are truncated as in A1111: 5 from 1 to 10 are 1, 3, 5, 7 and 10.
    """
    step = (stop - start) / max(1, count - 1)
    if step == round(step, 0 if is_whole else 6):
        return range_of(name, start=start, count=count, step=step)
    if count > _MOST_SPELT:
        return f"write its {count} values as a list"
    values = [start + step * index for index in range(count)]
    written = (_shown(int(each) if is_whole else round(each, 2)) for each in values)
    return list_of(name, written)


def draw_instead(reason: str) -> WayOut:
    """Return the advice to have seeds drawn; the reason comes first, with its `; `."""
    return WayOut(f"{DRAWN} under `axes`", {"seed": DRAWN}, reason)


def list_of(name: str, values: Iterable[str]) -> WayOut:
    """Return the advice to write values as a list."""
    written = f"[{', '.join(each.strip() for each in values)}]"
    return WayOut(f"a list under `axes`, {shown(written)}", {name: written})


def range_of(name: str, **parts: object) -> WayOut:
    """Return the advice to write a range; parts that are None are left out."""
    written = [
        f"{key}: {_shown(part)}" for key, part in parts.items() if part is not None
    ]
    return _range(name, f"{{{', '.join(written)}}}")


def _range(name: str, written: str) -> WayOut:
    return WayOut(f"a range under `axes`, {written}", {name: written})


def _way_out_of_ends(name: str, text: str, *, is_whole: bool) -> str | WayOut | None:
    ends = _ENDS.fullmatch(text)
    if ends is None:
        return None
    start, stop, sign, step, count = ends.groups()
    if count:
        first, last = Decimal(start), Decimal(stop)
        return way_out_of_count(
            name, first, stop=last, count=int(count), is_whole=is_whole
        )
    signed = f"{sign.lstrip('+')}{step}" if step else None
    return range_of(name, start=start, stop=stop, step=signed)


def _way_out_of_gap(name: str, text: str) -> WayOut | None:
    gap = _GAP.fullmatch(text)
    if gap is None:
        return None
    start, second, stop = gap.groups()
    step = Decimal(second) - Decimal(start) if second else None
    return range_of(name, start=start, stop=stop, step=step)


def _way_out_of_call(name: str, text: str) -> WayOut | None:
    call = _CALL.fullmatch(text)
    if call is None:
        return None
    start, stop, step = Decimal(call[1] or 0), Decimal(call[2]), Decimal(call[3] or 1)
    if step == 0 or stop <= start:
        return None
    count = math.ceil((stop - start) / step)
    return range_of(name, start=start, count=count, step=step if call[3] else None)


def _shown(number: object) -> str:
    return f"{number.normalize():f}" if isinstance(number, Decimal) else str(number)
