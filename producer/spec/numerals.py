"""Numbers and ranges as other programs write them, and how they are written here."""

import re
from decimal import Decimal

_RANDOM = frozenset({"-1", "random", "rand", "randomize", "any"})
_DEFAULT = frozenset({"auto", "automatic", "default", "none"})
_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"
#: A1111's `4-20`, `4-20 (+4)`, which is a step, and `1-10 [5]`, which is a count.
_DASHED = re.compile(
    rf"{_NUMBER}\s*-\s*{_NUMBER}\s*"
    rf"(?:\(\s*([+-]?){_NUMBER}\s*\)|\[\s*([0-9]{{1,6}})\s*\])?"
)
#: Such as `find --seed 0..199`.
_DOTTED = re.compile(rf"{_NUMBER}\.\.{_NUMBER}")
_SIDES = re.compile(r"([0-9]{1,5})\s*[x*]\s*([0-9]{1,5})")
_COMMAS = re.compile(r"[+-]?[0-9.]+(?:\s*,\s*[+-]?[0-9.]+)+")


def way_out_of_number(name: str, text: str) -> str | None:
    """Return what to write instead of a text that is no number, or None.

    Args:
        name: The parameter.
        text: As it was written; a seed may be -1.
    """
    plain = text.strip().lower()
    if name == "seed" and plain in _RANDOM:
        return (
            "no seed is drawn at random, so that every image can be made again; write "
            "numbers, such as {start: 0, count: 4} under `axes`"
        )
    if plain in _DEFAULT:
        return "leave it out for the default"
    if name in ("width", "height") and (sides := _SIDES.fullmatch(plain)):
        return f"write `width: {sides[1]}` and `height: {sides[2]}`"
    if _COMMAS.fullmatch(plain):
        return f"write a list under `axes`, [{plain}]"
    return _way_out_of_range(plain)


def _way_out_of_range(text: str) -> str | None:
    if dotted := _DOTTED.fullmatch(text):
        start, stop = dotted.groups()
        way_out = f"write a range as {{start: {start}, stop: {stop}}}"
        if start.isdigit() and stop.isdigit() and int(start) <= int(stop):
            count = int(stop) - int(start) + 1
            way_out += f" or {{start: {start}, count: {count}}}"
        return way_out
    if dashed := _DASHED.fullmatch(text):
        start, stop, sign, step, values = dashed.groups()
        if values:
            return _way_out_of_count(Decimal(start), Decimal(stop), int(values))
        more = f", step: {sign.lstrip('+')}{step}" if step else ""
        return f"write a range as {{start: {start}, stop: {stop}{more}}}"
    return None


def _way_out_of_count(start: Decimal, stop: Decimal, count: int) -> str:
    step = (stop - start) / max(1, count - 1)
    if step != round(step, 6):
        return f"write its {count} values as a list"
    shown = f"{step.normalize():f}"
    return f"write a range as {{start: {start}, count: {count}, step: {shown}}}"
