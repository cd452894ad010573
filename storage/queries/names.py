"""Names in queries that mean several things: sweeps, schedulers, models and cells."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.catalogue.scheduler_sets import is_glob, matching, require_match
from storage.catalogue.schedulers import resolve
from storage.errors import UsageError
from storage.queries.column_kinds import Column, Expression, Where, any_matches
from storage.queries.scope import Condition, Scope
from storage.queries.terms import RefusedError, Value
from storage.sql.extras import read_json, value_of
from storage.sql.schema import (
    jobs,
    model_places,
    models,
    owners,
    results,
    scheduler_names,
    schedulers,
    sweep_jobs,
    sweeps,
    templates,
)
from storage.sql.searching import contains


def read_axes(scope: Scope) -> dict[str, list[str]]:
    """Return the axes of the one sweep that a query names, with their labels.

    Other queries have none.
    """
    stored = sa.select(sweeps.c.axes).where(sweeps.c.id == scope.sweep_id)
    found: dict[str, list[str]] = json.loads(
        scope.connection.execute(stored).scalar() or "{}"
    )
    return found


def no_such_sweep(name: str, known: Collection[str]) -> str:
    """Say that no sweep has this name, with the nearest that one has."""
    near = get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif known:
        hint = "`nightsweep status` lists them."
    else:
        hint = "there is none yet: `nightsweep run SPEC` makes one."
    return f"sweep must be one that was submitted, got {name!r}; {hint}"


def sweep_names(connection: Connection) -> dict[str, int]:
    """Return the ids of all sweeps by name, the oldest first."""
    query = sa.select(sweeps.c.name, sweeps.c.id).order_by(sweeps.c.id)
    return {row.name: row.id for row in connection.execute(query)}


def find_sweeps(connection: Connection, values: Sequence[Value]) -> dict[str, int]:
    """Return the sweeps that names and globs mean, with their ids.

    A glob means sweeps that hold references only if it fits no others.

    Raises:
        RefusedError: There is none for one of the values.
    """
    known = sweep_names(connection)
    references = _companions(connection)
    found: dict[str, int] = {}
    for value in values:
        if value.is_glob:
            fits = [each for each in known if fnmatchcase(each, value.text)]
            some = [each for each in fits if known[each] not in references] or fits
        else:
            some = [value.text] if value.text in known else []
        if not some:
            raise RefusedError(no_such_sweep(value.text, known), value)
        found |= {name: known[name] for name in some}
    return found


def select_references(connection: Connection) -> sa.Select[tuple[int]] | None:
    """Return the query of the ids of jobs that are references only; None for none."""
    references = _companions(connection)
    if not references:
        return None
    other = sweep_jobs.alias()
    is_wanted = sa.exists().where(
        other.c.job_id == sweep_jobs.c.job_id, other.c.sweep_id.not_in(references)
    )
    mine = sweep_jobs.c.sweep_id.in_(references)
    return sa.select(sweep_jobs.c.job_id).where(mine, ~is_wanted).correlate(None)


def _companions(connection: Connection) -> set[int]:
    """Return the ids of the sweeps that hold references."""
    query = sa.select(sweeps.c.id).where(sweeps.c.reference_of.is_not(None))
    return set(connection.execute(query).scalars())


def in_sweep(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a job is a member of one of some sweeps."""
    ids = find_sweeps(scope.connection, values).values()
    mine = sweep_jobs.c.sweep_id.in_(ids)
    members = sa.select(sweep_jobs.c.job_id).where(mine)
    return jobs.c.id.in_(members.correlate(None))


def in_sweep_of(_scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a job is a member of a sweep of one of some owners."""
    said = any_matches(owners.c.name, values, is_part=False)
    members = (
        sa.select(sweep_jobs.c.job_id)
        .join(sweeps, sweeps.c.id == sweep_jobs.c.sweep_id)
        .join(owners, owners.c.id == sweeps.c.owner_id)
        .where(said)
    )
    return jobs.c.id.in_(members.correlate(None))


def owner_of(scope: Scope) -> Expression:
    """Return the id of the owner of the sweep that `sweep_of` returns."""
    known = sweeps.alias()
    query = sa.select(known.c.owner_id).where(known.c.id == sweep_of(scope))
    return query.scalar_subquery()


def sweep_of(scope: Scope) -> Expression:
    """Return the id of the named sweep, or else of the first that wanted a row."""
    return jobs.c.sweep_id if scope.sweep_id is None else sweep_jobs.c.sweep_id


def is_current(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that the newest revision of a job's sweep wants it."""
    known = sweeps.alias()
    newest = sa.select(known.c.revision).where(known.c.id == sweep_jobs.c.sweep_id)
    wanted = scope.of_members(sweep_jobs.c.revision == newest.scalar_subquery())
    either = {True: wanted, False: sa.not_(wanted)}
    return sa.or_(*(either[value.asked] for value in values))


def of_model(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a job's model has one of the names in any place."""
    named = any_matches(model_places.c.name, values, is_part=True)
    return jobs.c.model_id.in_(scope.ids(model_places.c.model_id, named))


def place_of_model(_scope: Scope) -> Expression:
    """Return the id of the place of a row's model."""
    return sa.func.coalesce(results.c.place_id, jobs.c.place_id)


def with_part(extra: str) -> Where:
    """Return a condition on weights besides the model, by their names or fingerprints.

    Args:
        extra: The extra that holds their fingerprints.
    """

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        held = value_of(scope.connection, extra)
        return sa.or_(
            *(
                sa.or_(*(contains(held, mark) for mark in _marks(scope, value.text)))
                if value.text
                else held == ""
                for value in values
            )
        )

    return where


def of_image(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a job's input image has a digest, or a sweep's label.

    A label is known where the image is a value of the axis `image`.
    """
    held = value_of(scope.connection, "image")
    is_it = any_matches(held, values, is_part=True)
    texts = [value for value in values if value.text]
    if not texts:  # `image:""` means none
        return is_it
    labelled = any_matches(_label(scope, "image"), texts, is_part=True)
    return sa.or_(is_it, scope.of_members(labelled))


def _marks(scope: Scope, text: str) -> list[str]:
    """Return a text, and the fingerprints of parts whose name has it."""
    query = (
        sa.select(models.c.fingerprint)
        .join(model_places, model_places.c.model_id == models.c.id)
        .where(models.c.pipeline.is_(None), contains(model_places.c.name, text))
        .distinct()
    )
    return [text, *scope.connection.execute(query).scalars()]


def with_template(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a sweep writes a job's prompt in one of these ways."""
    ids = scope.ids(templates.c.id, any_matches(templates.c.text, values, is_part=True))
    return scope.of_members(sweep_jobs.c.template_id.in_(ids))


def template_of(scope: Scope) -> Expression:
    """Return the id of the template of a membership, or of that in the first sweep."""
    if scope.sweep_id is not None:
        return sweep_jobs.c.template_id
    mine = (sweep_jobs.c.sweep_id == jobs.c.sweep_id, sweep_jobs.c.job_id == jobs.c.id)
    query = sa.select(sweep_jobs.c.template_id).where(*mine)
    return query.correlate(jobs).scalar_subquery()


def has_label(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a sweep calls a job's scheduler so."""
    labels = any_matches(sweep_jobs.c.scheduler_label, values, is_part=False)
    return scope.of_members(labels)


def cell_column(axis: str) -> Column:
    """Return the column of the labels that jobs have on an axis of their sweep."""

    def raw(scope: Scope) -> Expression:
        if scope.sweep_id is None:
            return sa.null()
        return _label(scope, axis)

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        label = _label(scope, axis)
        among = [_is_among(label, value) for value in values]
        labelled = any_matches(label, values, is_part=False)
        return scope.of_members(sa.or_(labelled, *among))

    return Column(
        name=f"cell.{axis}",
        about=f"label on the axis {axis} of the sweep",
        form="text",
        where=where,
        raw=raw,
    )


def _label(scope: Scope, axis: str) -> Expression:
    cell: Expression = read_json(scope.connection, sweep_jobs.c.cell)[axis].as_string()
    return cell


def made_by(scope: Scope, values: Sequence[Value]) -> Condition:
    """Return the condition that a scheduler has one of the names.

    Names are those of the catalogue, several of which may mean one scheduler on a
    model; class names, for all variants of a class; globs; and the labels that the
    named sweeps define.

    Raises:
        RefusedError: There is no such scheduler.
    """
    ids: set[int] = set()
    pairs: set[tuple[int, int]] = set()
    labels = []
    for value in values:
        some_ids, some_pairs = _called(scope.connection, value.text)
        ids |= some_ids
        pairs |= some_pairs
        if _is_label(scope, value.text):
            labels.append(value.text)
        elif not (some_ids or some_pairs):
            _refuse_unknown(value)
    found = list(_on_models({pair for pair in pairs if pair[1] not in ids}))
    if ids:
        found.append(jobs.c.scheduler_id.in_(sorted(ids)))
    if labels:
        found.append(scope.of_members(sweep_jobs.c.scheduler_label.in_(labels)))
    return sa.or_(sa.false(), *found)


def _called(connection: Connection, name: str) -> tuple[set[int], set[tuple[int, int]]]:
    """Return schedulers that have a name, and pairs of model and scheduler that do."""
    columns = schedulers.c
    names = [name, *(entry.name for entry in matching(name))]
    is_class: Condition = sa.false()
    with suppress(UsageError):  # a name with options: `ddim(clip_sample=true)`
        meant = resolve(name)
        if meant.name:
            names.append(meant.name)
        else:
            is_class = columns.class_name == meant.class_name
    named = sa.select(columns.id).where(sa.or_(columns.name.in_(names), is_class))
    found = sa.select(scheduler_names.c.model_id, scheduler_names.c.scheduler_id)
    pairs = connection.execute(found.where(scheduler_names.c.name.in_(names)))
    ids = connection.execute(named).scalars()
    return set(ids), {(row.model_id, row.scheduler_id) for row in pairs}


def _on_models(pairs: Collection[tuple[int, int]]) -> Iterator[Condition]:
    by_model: dict[int, list[int]] = {}
    for model_id, scheduler_id in sorted(pairs):
        by_model.setdefault(model_id, []).append(scheduler_id)
    for model_id, ids in by_model.items():
        yield sa.and_(jobs.c.model_id == model_id, jobs.c.scheduler_id.in_(ids))


def _is_label(scope: Scope, name: str) -> bool:
    query = sa.select(sweep_jobs.c.job_id).where(
        sweep_jobs.c.sweep_id.in_(scope.sweep_ids),
        sweep_jobs.c.scheduler_label == name,
    )
    return scope.connection.execute(query.limit(1)).first() is not None


def _refuse_unknown(value: Value) -> None:
    try:
        if is_glob(value.text):
            require_match(value.text)
        else:
            resolve(value.text)
    except UsageError as exc:
        raise RefusedError(str(exc), value) from exc


def _is_among(label: Expression, value: Value) -> Condition:
    """Return the condition that a list of labels that mean the same has one."""
    text = json.dumps(value.text, ensure_ascii=False)
    return sa.and_(label.startswith("["), label.contains(text, autoescape=True))
