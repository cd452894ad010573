"""Search for a text in SQL, in any case of any alphabet."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

#: All letters that have two cases are below this code point.
_CASED = 0x20000
#: A letter with an accent is one character, or two.
_FORMS: Sequence[Literal["NFC", "NFD"]] = ("NFC", "NFD")


def contains(column: sa.ColumnElement[Any], part: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds a text, in any case of any alphabet.

    SQLite and many PostgreSQL databases know case only of a to z. A letter with an
    accent matches whether it is one character or two.
    """
    if part.isascii():
        return column.icontains(part, autoescape=True)
    forms = (unicodedata.normalize(form, part) for form in _FORMS)
    return column.regexp_match("|".join(dict.fromkeys(map(_in_any_case, forms))))


def matches(
    column: sa.ColumnElement[Any], pattern: str, *, is_glob: bool = True
) -> sa.ColumnElement[bool]:
    """Return the condition that a column is a whole text, in any case of any alphabet.

    Args:
        column: Holds text.
        pattern: The text; `*` in it stands for any characters, `?` for one.
        is_glob: Whether `*` and `?` have that meaning, or are themselves.
    """
    if not is_glob and pattern.isascii():
        return sa.func.lower(column) == pattern.lower()
    signs = {"*": r"(.|\n)*", "?": r"(.|\n)"} if is_glob else {}
    forms = dict.fromkeys(unicodedata.normalize(form, pattern) for form in _FORMS)
    either = "|".join(
        "".join(signs.get(each) or _one_in_any_case(each) for each in form)
        for form in forms
    )
    return column.regexp_match(f"^({either})$")


def _in_any_case(text: str) -> str:
    """Return a regular expression for a text, for both Python and PostgreSQL."""
    return "".join(map(_one_in_any_case, text))


def _one_in_any_case(character: str) -> str:
    alike = _alike().get(character.casefold(), "")
    return f"[{alike}]" if alike else re.escape(character)


@cache
def _alike() -> Mapping[str, str]:
    """Return the characters that differ only in case, by their folded form."""
    found: dict[str, str] = {}
    for character in map(chr, range(_CASED)):
        folded = character.casefold()
        if folded != character:
            found.setdefault(folded, folded if len(folded) == 1 else "")
            found[folded] += character
    return found
