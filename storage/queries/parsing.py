"""The language of queries: `scheduler:ddim steps:..20 !state:failed "red fox"`.

A query is terms separated by blanks, and an image must meet them all. A term is a
word, a "phrase", or a column, a colon and values with commas, any of which will do;
`!` or `-` before it negates it. A value is text, "quoted text", a number, or a range:
`10..20`, `..8`, `30..`, `<=8`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from storage.catalogue.pipeline_calls import all_parameters
from storage.queries.column_kinds import Column
from storage.queries.columns import COLUMNS, FAMILIES, find_column
from storage.queries.terms import Query, Term, Value
from storage.queries.values import MisreadError

#: What people may ask of a column in code; None asks nothing.
Asked = str | float | bool | Sequence[str | float] | None

#: The name of a column and its colon, which is not that of an address.
NAMED = r"([A-Za-z_][\w.@/=,-]*):(?!//)"

_BLANKS = re.compile(r"\s*")
_SIGN = re.compile(r"[!-](?=\S)")
_COLUMN = re.compile(NAMED)
_COMPARED = re.compile(r"([A-Za-z_][\w.]*)(<=|>=|<|>|=)(\S*)")
_WORD = re.compile(r'[^\s"]+')
# Parentheses keep the options of a scheduler together: `ddim(clip_sample=true, eta=1)`.
_PLAIN = re.compile(r'(?:[^\s,"(]|\([^()"]*\)|\()+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
#: What needs quotes to be one value.
_SPECIAL = re.compile(r'[\s,"()*?<>=!\\]|^$|^-')


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryError: It cannot be read; the message shows where.
    """
    return Query(text=text, terms=tuple(_Reader(text).terms()))


def refine(query: Query | str, **asked: Asked) -> Query:
    """Return a query with more terms: columns by name, each with what is asked of it.

    Several values are a sequence. Text is one value, whatever is in it, except for
    columns of numbers and of few words: there `"4,8"` is two.

    Raises:
        QueryError: A column does not exist or cannot have the value.
    """
    given = (f"{name}:{write(name, each)}" for name, each in asked.items() if _is(each))
    text = query if isinstance(query, str) else query.text
    return parse(" ".join(filter(None, (text, *given))))


def write(name: str, asked: Asked) -> str:
    """Write the values of a column as a query has them."""
    if isinstance(asked, bool):
        return "yes" if asked else "no"
    if isinstance(asked, int | float):
        return str(asked)
    if not isinstance(asked, str):
        return ",".join(write(name, each) for each in asked or ())
    column = COLUMNS.get(name)
    if column is None or not column.has_plain_values:
        return quote(asked)
    return ",".join(quote(one.strip(), but="<>=") for one in asked.split(","))


def quote(text: str, *, but: str = "") -> str:
    """Quote a text where a query would read it as more than one plain value.

    Args:
        text: The value.
        but: Signs that have their meaning and need no quotes.
    """
    plain = text.translate(dict.fromkeys(map(ord, but)))
    if text and not _SPECIAL.search(plain):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _is(asked: Asked) -> bool:
    return asked is not None and asked != [] and asked != ()


class _Reader:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._query = Query(text=text)
        self._text = text
        self._at = 0

    def terms(self) -> Iterator[Term]:
        while self._skip(_BLANKS) is not None and self._at < len(self._text):
            is_negated = self._skip(_SIGN) is not None
            start = self._at
            if (column := self._skip(_COLUMN)) is None:
                yield self._word(is_negated=is_negated)
                continue
            name = column[1]
            known = self._column(name, start)
            values = tuple(self._typed(known, value) for value in self._values(name))
            yield Term(name=known.name, values=values, is_negated=is_negated)

    def _word(self, *, is_negated: bool) -> Term:
        start = self._at
        compared = _COMPARED.match(self._text, start)
        if compared and find_column(compared[1]):
            name, sign, text = compared.groups()
            msg = (
                f"a column must be followed by a colon, got {name + sign!r}; write "
                f"{name}:{sign.replace('=', '') + '=' * (len(sign) - 1)}{text}."
            )
            raise self._query.refuse(msg, start=start, end=compared.end(2))
        if self._text[start] == '"':
            return Term(name="", values=(self._quoted(),), is_negated=is_negated)
        self._skip(_WORD)
        word = Value(text=self._text[start : self._at], start=start, end=self._at)
        return Term(name="", values=(word,), is_negated=is_negated)

    def _values(self, name: str) -> Iterator[Value]:
        yield self._value(name)
        while self._text[self._at : self._at + 1] == ",":
            self._at += 1
            yield self._value(name)

    def _value(self, name: str) -> Value:
        start, texts, is_quoted = self._at, list[str](), False
        while True:
            if self._text[self._at : self._at + 1] == '"':
                texts.append(self._quoted().text)
                is_quoted = True
            elif (plain := self._skip(_PLAIN)) is not None:
                texts.append(plain[0])
            else:
                break
        if not texts:
            msg = (
                f"{name}: must be followed by a value, without a blank between them; "
                'write "" for an empty one.'
            )
            raise self._query.refuse(msg, start=start, end=start + 1)
        text = "".join(texts)
        return Value(text=text, is_quoted=is_quoted, start=start, end=self._at)

    def _quoted(self) -> Value:
        start = self._at
        if (found := self._skip(_QUOTED)) is None:
            msg = 'a quote must be closed, got one that is not; end it with a second ".'
            raise self._query.refuse(msg, start=start, end=start + 1)
        text = _ESCAPED.sub(r"\1", found[1])
        return Value(text=text, is_quoted=True, start=start, end=self._at)

    def _typed(self, column: Column, value: Value) -> Value:
        try:
            asked = column.read_value(value)
        except MisreadError as exc:
            hint = f"; {exc.hint}" if exc.hint else ""
            hint += "" if hint.endswith("?") else "."
            msg = f"{column.name} must be {exc.rule}, got {value.text!r}{hint}"
            where = {"start": value.start, "end": value.end}
            raise self._query.refuse(msg, **where) from None
        return replace(value, asked=asked)

    def _column(self, name: str, start: int) -> Column:
        if (found := find_column(name)) is not None:
            return found
        end = start + len(name)
        raise self._query.refuse(unknown_column(name), start=start, end=end)

    def _skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found


def unknown_column(name: str) -> str:
    """Say that there is no such column, with the nearest that there is."""
    known = [*COLUMNS, *FAMILIES, *all_parameters()]
    near = get_close_matches(name.casefold(), known, n=1)
    hint = f"did you mean {near[0]}" if near else "docs/querying.md lists them"
    return (
        f"a column must be one that images have, got {name!r}; {hint}, or is it a "
        "text of a prompt, which needs quotes because of its colon?"
    )
