"""What is asked of the images: filters, their text form, and the pages of answers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.database import Database
from storage.errors import UsageError
from storage.schema import (
    JOB_STATES,
    jobs,
    models,
    prompts,
    schedulers,
    select_images,
    select_sweep_images,
    sweep_jobs,
    sweeps,
)

#: Rows that one page of an answer holds.
PAGE = 1000

_RANGE = re.compile(r"(?P<low>[^.]*(?:\.\d+)?)\.\.(?P<high>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; None is open."""

    low: float | None
    high: float | None

    def __contains__(self, value: float) -> bool:
        """Tell whether a number is in the range."""
        return (self.low is None or value >= self.low) and (
            self.high is None or value <= self.high
        )


#: What a number may be asked for: any of these.
Numbers = Sequence[float | Range]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which images; conditions join by "and", the values of one by "or".

    Attributes:
        sweep: Members of this sweep, whoever made them first.
        keys: Whole keys or their beginnings.
        model: Part of the model's name.
        prompt: Part of the prompt, upper and lower case alike.
        schedulers: Short names, class names, or the sweep's own labels.
        steps: Numbers or ranges.
        seed: Numbers or ranges.
        guidance: Numbers or ranges.
        states: Job states.
    """

    sweep: str | None = None
    keys: Sequence[str] = ()
    model: str | None = None
    prompt: str | None = None
    schedulers: Sequence[str] = ()
    steps: Numbers = ()
    seed: Numbers = ()
    guidance: Numbers = ()
    states: Sequence[str] = ()


def parse_numbers(text: str, *, name: str) -> list[float | Range]:
    """Read `4`, `4,8`, `10..20`, `..8` or `30..`, as the options write them.

    Raises:
        UsageError: The text is none of these.
    """
    return [_parse_number(part.strip(), name=name) for part in text.split(",")]


def parse_states(text: str) -> list[str]:
    """Read job states, divided by commas.

    Raises:
        UsageError: A state does not exist.
    """
    states = [part.strip() for part in text.split(",")]
    for state in states:
        if state not in JOB_STATES:
            msg = f"state must be one of {', '.join(JOB_STATES)}, got {state!r}."
            raise UsageError(msg)
    return states


def find(
    database: Database, which: Filter, *, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Give the rows of the view `images`, or of `sweep_images` where a sweep is named.

    They come in order of execution, page by page, so that a million rows need no
    memory; columns are those of the view, in its order.

    Raises:
        UsageError: The sweep does not exist.
    """
    after: tuple[int, int] | None = None
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with database.read() as connection:
            rows = connection.execute(_page(connection, which, after, size)).all()
        for row in rows:
            shown = dict(row._mapping)
            after = (shown.pop("_order"), shown.pop("_id"))
            yield shown
        if len(rows) < size:
            return
        left = None if left is None else left - len(rows)


def _page(
    connection: Connection,
    which: Filter,
    after: tuple[int, int] | None,
    size: int,
) -> sa.Select[Any]:
    if which.sweep:
        query, order = select_sweep_images(), sweep_jobs.c.position
        query = query.where(sweep_jobs.c.sweep_id == _sweep_id(connection, which))
    else:
        query, order = select_images(), jobs.c.position
    query = query.add_columns(order.label("_order"), jobs.c.id.label("_id"))
    for condition in _conditions(connection, which):
        query = query.where(condition)
    if after:
        query = query.where(sa.tuple_(order, jobs.c.id) > sa.tuple_(*after))
    return query.order_by(order, jobs.c.id).limit(size)


def _sweep_id(connection: Connection, which: Filter) -> int:
    query = sa.select(sweeps.c.name, sweeps.c.id)
    known = dict(connection.execute(query).tuples().all())
    if which.sweep not in known:
        names = ", ".join(sorted(known)) or "none yet"
        msg = f"sweep must be one that was submitted ({names}), got {which.sweep!r}."
        raise UsageError(msg)
    return int(known[which.sweep])


def _conditions(
    connection: Connection, which: Filter
) -> Iterator[sa.ColumnElement[bool]]:
    # Names are looked up first, so that the large table is searched by numbers.
    if which.keys:
        yield sa.or_(
            *(jobs.c.key.startswith(key, autoescape=True) for key in which.keys)
        )
    if which.model:
        named = models.c.name.icontains(which.model, autoescape=True)
        yield jobs.c.model_id.in_(_ids(connection, models, named))
    if which.prompt:
        said = prompts.c.text.icontains(which.prompt, autoescape=True)
        yield jobs.c.prompt_id.in_(sa.select(prompts.c.id).where(said))
    if which.schedulers:
        yield _made_by(connection, which)
    if which.states:
        yield jobs.c.state.in_(which.states)
    for column in ("steps", "seed", "guidance"):
        numbers: Numbers = getattr(which, column)
        if numbers:
            yield sa.or_(*(_matches(jobs.c[column], number) for number in numbers))


def _made_by(connection: Connection, which: Filter) -> sa.ColumnElement[bool]:
    columns = schedulers.c
    named = sa.or_(
        columns.name.in_(which.schedulers), columns.class_name.in_(which.schedulers)
    )
    made_by = jobs.c.scheduler_id.in_(_ids(connection, schedulers, named))
    if which.sweep:
        return sa.or_(made_by, sweep_jobs.c.scheduler_label.in_(which.schedulers))
    return made_by


def _ids(
    connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]
) -> list[int]:
    return list(connection.execute(sa.select(table.c.id).where(condition)).scalars())


def _matches(column: sa.Column[Any], number: float | Range) -> sa.ColumnElement[bool]:
    if not isinstance(number, Range):
        return column == number
    low = sa.true() if number.low is None else column >= number.low
    high = sa.true() if number.high is None else column <= number.high
    return sa.and_(low, high)


def _parse_number(text: str, *, name: str) -> float | Range:
    found = _RANGE.fullmatch(text)
    try:
        if not found:
            return _number(text)
        low, high = found["low"], found["high"]
        return Range(
            low=_number(low) if low else None, high=_number(high) if high else None
        )
    except ValueError:
        msg = (
            f"{name} must be a number or a range such as 10..20, ..8 or 30.., "
            f"divided by commas; got {text!r}."
        )
        raise UsageError(msg) from None


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"\d+", text) else float(text)
