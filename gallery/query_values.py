"""The values that the images of a query have in a column, the most frequent first."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from gallery.pivoting.image_rows import among
from storage.queries.column_kinds import Column
from storage.queries.paths import find_ids
from storage.queries.selection import Selection
from storage.queries.terms import RefusedError, Value
from storage.queries.values import text_of
from storage.sql.schema import HIDDEN_STATES, sweeps

#: Images that are looked at, and most different values that are read.
MOST_ROWS = 10_000
MOST_VALUES = 500
#: Columns in which nearly every image has a value of its own.
_OWN_VALUES = frozenset({"key", "path", "after", "before"})
#: Characters of a time that are its day.
_DAY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value that images have.

    Attributes:
        text: As a query has it, without quotes.
        about: How many have it, or what it is.
    """

    text: str
    about: str


def find_sweeps(selection: Selection, typed: str) -> list[Found]:
    """Return the listed sweeps whose name has a text in it, the newest first."""
    query = sa.select(sweeps.c.name).where(sweeps.c.state.not_in(HIDDEN_STATES))
    query = query.order_by(sweeps.c.id.desc())
    names = selection.scope.connection.execute(query).scalars()
    return [Found(text=name, about="sweep") for name in fitting(names, typed)]


def find_values(selection: Selection, column: Column, typed: str) -> list[Found]:
    """Return the values of a column that have a text in them.

    Args:
        selection: The images that may have them.
        column: The column.
        typed: The text, in any case; empty for all values.
    """
    if column.name == "sweep":
        return find_sweeps(selection, typed)
    counts = _count(selection, column, typed)
    if column.is_number and _are_own(counts):
        return []
    named = {text_of(value): count for value, count in counts.items()}
    choices = [] if column.name == "size" else re.findall(r"`(\w+)`", column.form)
    named |= {choice: 0 for choice in choices if choice not in named}
    is_all = sum(counts.values()) < MOST_ROWS
    return [
        Found(text=text, about=_images(named[text], is_all=is_all))
        for text in fitting(named, typed)
    ]


def _count(selection: Selection, column: Column, typed: str) -> dict[Any, int]:
    """Return the values of the first images, with how many of these have each."""
    if column.raw is None or column.name in _OWN_VALUES:
        return {}
    is_time = column.form.startswith("date")
    if typed and not (column.is_number or is_time or column.has_plain_values):
        # In SQL, so that rare values are found, too.
        part = Value(text=f"*{typed}*", asked=f"*{typed}*")
        try:
            said = column.where(selection.scope, [part])
        except RefusedError:
            return {}
        selection = replace(selection, conditions=(*selection.conditions, said))
    raw = column.raw(selection.scope)
    raw = sa.func.substr(raw, 1, _DAY) if is_time else raw
    ids = find_ids(selection.scope.connection, selection, after=0, size=MOST_ROWS)
    values = replace(selection, conditions=()).select(raw.label("value"))
    rows = values.where(among(selection.job_id, ids)).subquery()
    number = sa.func.count()
    counted = sa.select(rows.c.value, number).group_by(rows.c.value)
    counted = counted.order_by(number.desc(), rows.c.value).limit(MOST_VALUES)
    value, count = counted.subquery().c
    name = column.named(value) if column.named else value
    found: dict[Any, int] = {}
    for each, n in selection.scope.connection.execute(sa.select(name, count)):
        if each is not None:
            found[each] = found.get(each, 0) + n
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _are_own(counts: dict[Any, int]) -> bool:
    """Return whether there are many values, and few images have the same one."""
    return len(counts) > MOST_VALUES / 10 and sum(counts.values()) < 2 * len(counts)


def _images(count: int, *, is_all: bool) -> str:
    if not count:
        return "no image yet"
    images = f"{count:,} image{'s' if count > 1 else ''}"
    return images if is_all else f"{images} of the first {MOST_ROWS:,}"


def fitting(texts: Iterable[str], typed: str) -> list[str]:
    """Return the texts that have another in them; those that begin with it first."""
    part = typed.casefold()
    found = [text for text in texts if part in text.casefold()]
    return sorted(found, key=lambda text: not text.casefold().startswith(part))
