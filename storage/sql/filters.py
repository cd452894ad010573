"""Filters of the images, and the rows that they match, page by page."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.scheduler_sets import is_glob, matching, require_match
from storage.catalogue.schedulers import resolve
from storage.errors import UsageError
from storage.job import EXTRAS
from storage.sql.database import Database
from storage.sql.extras import value_of
from storage.sql.ranges import Numbers, Range
from storage.sql.schema import (
    JOB_STATES,
    jobs,
    model_places,
    prompts,
    scheduler_names,
    schedulers,
    sweep_jobs,
    sweeps,
)
from storage.sql.searching import contains
from storage.sql.views import select_images, select_sweep_images

#: Rows that one page of an answer holds.
PAGE_ROWS = 1000
#: Most keys that a message lists where several begin alike.
LISTED = 10
#: Parameters, besides extras, that are worth a column where rows differ in them.
DIFFERING = ("model", "negative_prompt", "width", "height", "dtype", "generator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which images to find; "and" joins the conditions, "or" the values of each.

    Attributes:
        sweep: Members of this sweep, whoever made them first.
        keys: Whole keys or their beginnings.
        model: Part of the name that the model has in any of its places, in any case.
        prompt: Part of the prompt, in any case.
        schedulers: Names of the catalogue, several of which may mean one scheduler on
            a model; class names, for all variants of a class; or, where `sweep` is
            set, the sweep's own labels.
        steps: Numbers or ranges.
        seed: Numbers or ranges.
        guidance: Numbers or ranges.
        clip_skip: Numbers or ranges; 0 where a job has none.
        eta: Numbers or ranges; 0 where a job has none.
        tag: The whole tag; empty for jobs without one.
        states: Job states.
        is_current: Only what the newest revision of `sweep` wants; the images of
            earlier revisions stay in the sweep.
    """

    sweep: str | None = None
    keys: Sequence[str] = ()
    model: str | None = None
    prompt: str | None = None
    schedulers: Sequence[str] = ()
    steps: Numbers = ()
    seed: Numbers = ()
    guidance: Numbers = ()
    clip_skip: Numbers = ()
    eta: Numbers = ()
    tag: str | None = None
    states: Sequence[str] = ()
    is_current: bool = False


def read_states(asked: str | Sequence[str]) -> list[str]:
    """Read job states: a list, or one text, separated by commas.

    Raises:
        UsageError: A state does not exist.
    """
    given = asked.split(",") if isinstance(asked, str) else asked
    states = [state.strip() for state in given]
    for state in states:
        if state not in JOB_STATES:
            msg = f"state must be one of {', '.join(JOB_STATES)}, got {state!r}."
            raise UsageError(msg)
    return states


def find(
    database: Database, which: Filter, *, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the view `images`, or of `sweep_images` where a sweep is named.

    Rows come in the order of submission, page by page, so that a million of them need
    no memory; columns are those of the view, in its order.

    Raises:
        UsageError: The sweep, a scheduler or a key cannot exist.
    """
    query, job_id = _select(database, which)
    query = query.add_columns(job_id.label("_id"))
    after = 0
    left = limit
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        with database.read() as connection:
            page = query.where(job_id > after).limit(size)
            rows = connection.execute(page).all()
        for row in rows:
            shown = dict(row._mapping)
            after = shown.pop("_id")
            yield shown
        if len(rows) < size:
            return
        left = None if left is None else left - len(rows)


def _select(database: Database, which: Filter) -> tuple[sa.Select[Any], sa.Column[int]]:
    """Return the ordered query of all rows, and the column that orders them."""
    with database.read() as connection:
        conditions = list(_conditions(connection, which))
    query, job_id = select_images(), jobs.c.id
    if which.sweep:
        # By the membership's job id: its index serves both sweep and order.
        query, job_id = select_sweep_images(), sweep_jobs.c.job_id
    return query.where(*conditions).order_by(job_id), job_id


def find_differing(
    database: Database, which: Filter, *, limit: int | None = None
) -> list[str]:
    """Return the names in `DIFFERING` and `EXTRAS` in which rows of `find` differ.

    Raises:
        UsageError: The sweep, a scheduler or a key cannot exist.
    """
    query, _ = _select(database, which)
    with database.read() as connection:
        values = [query.selected_columns[name] for name in DIFFERING]
        values += [value_of(connection, name).label(name) for name in EXTRAS]
        found = query.with_only_columns(*values).limit(limit).subquery().c
        differs = [sa.func.min(each) < sa.func.max(each) for each in found]
        answers = connection.execute(sa.select(*differs)).one()
        return [each.name for each, is_so in zip(found, answers, strict=True) if is_so]


def find_one(database: Database, key: str) -> dict[str, Any]:
    """Return the row of the view `images` for a key, or for the beginning of one.

    Raises:
        UsageError: No key begins like this, or several do.
    """
    found = list(find(database, Filter(keys=[key]), limit=LISTED + 1))
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"key must be a job's, got {key!r}; `nightsweep find` lists the keys."
        raise UsageError(msg)
    keys = [str(row["key"]) for row in found[:LISTED]]
    more = ", and more" if len(found) > LISTED else ""
    msg = (
        f"key must begin the key of one job only, but {key!r} begins several: "
        f"{', '.join(keys)}{more}; give more of its digits."
    )
    raise UsageError(msg)


def find_memberships(database: Database, key: str) -> list[dict[str, Any]]:
    """Return the rows of the view `sweep_images` for a key, oldest sweep first."""
    query = select_sweep_images().where(jobs.c.key == key).order_by(sweeps.c.id)
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _sweep_id(connection: Connection, which: Filter) -> int:
    query = sa.select(sweeps.c.name, sweeps.c.id)
    known = {row.name: int(row.id) for row in connection.execute(query)}
    if which.sweep not in known:
        names = ", ".join(sorted(known)) or "none yet"
        msg = f"sweep must be one that was submitted ({names}), got {which.sweep!r}."
        raise UsageError(msg)
    return known[which.sweep]


def _conditions(
    connection: Connection, which: Filter
) -> Iterator[sa.ColumnElement[bool]]:
    # Names are looked up first, so that the large table is searched by numbers.
    if which.sweep:
        yield sweep_jobs.c.sweep_id == _sweep_id(connection, which)
    if which.is_current:
        yield sweep_jobs.c.revision == sweeps.c.revision
    if which.keys:
        yield sa.or_(*map(_begins, which.keys))
    if which.model:
        named = contains(model_places.c.name, which.model)
        found = sa.select(model_places.c.model_id).where(named)
        yield jobs.c.model_id.in_(connection.execute(found).scalars().all())
    if which.prompt:
        yield _says(connection, contains(prompts.c.text, which.prompt))
    if which.schedulers:
        yield _made_by(connection, which)
    if which.states:
        yield jobs.c.state.in_(which.states)
    yield from _with_values(connection, which)


def _with_values(
    connection: Connection, which: Filter
) -> Iterator[sa.ColumnElement[bool]]:
    for name in ("steps", "seed", "guidance", "clip_skip", "eta"):
        numbers: Numbers = getattr(which, name)
        if numbers:
            is_extra = name in EXTRAS
            column = value_of(connection, name) if is_extra else jobs.c[name]
            yield sa.or_(*(_matches(column, number) for number in numbers))
    if which.tag is not None:
        yield value_of(connection, "tag") == which.tag


def _says(
    connection: Connection, said: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Return the condition that a job's prompt fits; each page evaluates it again.

    If few prompts fit, they are looked up once. If many do, each page reads only the
    prompts of the jobs that it looks at.
    """
    found = sa.select(prompts.c.id).where(said)
    ids = connection.execute(found.limit(PAGE_ROWS + 1)).scalars().all()
    if len(ids) <= PAGE_ROWS:
        return jobs.c.prompt_id.in_(ids)
    return found.where(prompts.c.id == jobs.c.prompt_id).correlate(jobs).exists()


def _begins(key: str) -> sa.ColumnElement[bool]:
    digits = key.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        msg = (
            f"key must be 1 to 32 hex digits, got {key!r}; `nightsweep find` lists "
            "the keys."
        )
        raise UsageError(msg)
    # A range, since an index serves it, and does not serve LIKE.
    return sa.and_(jobs.c.key >= digits, jobs.c.key < f"{digits}g")


def _made_by(connection: Connection, which: Filter) -> sa.ColumnElement[bool]:
    made_by: list[sa.ColumnElement[bool]] = []
    for name in which.schedulers:
        known = list(_called(connection, name))
        made_by += known
        if which.sweep and _is_label(connection, which, name):
            made_by.append(sweep_jobs.c.scheduler_label == name)
        elif not known:
            _refuse_unknown(name)
    return sa.or_(sa.false(), *made_by)


def _is_label(connection: Connection, which: Filter, name: str) -> bool:
    query = sa.select(sweep_jobs.c.job_id).where(
        sweep_jobs.c.sweep_id == _sweep_id(connection, which),
        sweep_jobs.c.scheduler_label == name,
    )
    return connection.execute(query.limit(1)).first() is not None


def _called(connection: Connection, name: str) -> Iterator[sa.ColumnElement[bool]]:
    """Yield conditions for jobs that a name, or a class with all variants, means."""
    columns = schedulers.c
    names = [name, *(entry.name for entry in matching(name))]
    is_class: sa.ColumnElement[bool] = sa.false()
    with suppress(UsageError):  # a name with options: `ddim(clip_sample=true)`
        meant = resolve(name)
        if meant.name:
            names.append(meant.name)
        else:
            is_class = columns.class_name == meant.class_name
    named = sa.or_(columns.name.in_(names), is_class)
    if ids := _ids(connection, schedulers, named):
        yield jobs.c.scheduler_id.in_(ids)
    by_model: dict[int, list[int]] = {}
    query = sa.select(scheduler_names).where(scheduler_names.c.name.in_(names))
    for row in connection.execute(query):
        by_model.setdefault(row.model_id, []).append(row.scheduler_id)
    for model_id, ids in by_model.items():
        yield sa.and_(jobs.c.model_id == model_id, jobs.c.scheduler_id.in_(ids))


def _refuse_unknown(name: str) -> None:
    if is_glob(name):
        require_match(name)
    else:
        resolve(name)


def _ids(
    connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]
) -> list[int]:
    return list(connection.execute(sa.select(table.c.id).where(condition)).scalars())


def _matches(
    column: sa.ColumnElement[Any], number: float | Range
) -> sa.ColumnElement[bool]:
    if not isinstance(number, Range):
        return column == number
    low = sa.true() if number.low is None else column >= number.low
    high = sa.true() if number.high is None else column <= number.high
    return sa.and_(low, high)
