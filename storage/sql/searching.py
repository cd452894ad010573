"""Looking for a text in SQL, in any case of any alphabet."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

#: Code points among which all letters of two cases are.
_CASED = 0x20000


def contains(column: sa.Column[Any], part: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds a text, in any case of any alphabet.

    What SQLite and many a PostgreSQL know of case is that of a to z. A letter with its
    accent is the same in one character and in two.
    """
    if part.isascii():
        return column.icontains(part, autoescape=True)
    forms = (unicodedata.normalize(form, part) for form in ("NFC", "NFD"))
    return column.regexp_match("|".join(dict.fromkeys(map(_in_any_case, forms))))


def _in_any_case(text: str) -> str:
    """Return a regular expression for a text, of Python and of PostgreSQL alike."""
    return "".join(map(_one_in_any_case, text))


def _one_in_any_case(character: str) -> str:
    alike = _alike().get(character.casefold(), "")
    return f"[{alike}]" if alike else re.escape(character)


@cache
def _alike() -> Mapping[str, str]:
    """Return the characters that are one but for their case, by their folded form."""
    found: dict[str, str] = {}
    for character in map(chr, range(_CASED)):
        folded = character.casefold()
        if folded != character:
            found.setdefault(folded, folded if len(folded) == 1 else "")
            found[folded] += character
    return found
