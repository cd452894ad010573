"""Columns of scores: `score.clip`, and `score.clip@model` where there are several."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.queries.column_kinds import Column, Expression, has_number
from storage.queries.scope import Condition, Scope
from storage.queries.terms import RefusedError, Value
from storage.queries.values import read_number
from storage.sql.schema import jobs, metrics, scores

#: Done scores; others have no value.
DONE = scores.c.state == "done"


def score_column(name: str) -> Column:
    """Return the column of the scores of a metric.

    Args:
        name: The metric's name; and after an `@`, if several metrics have it, part of
            its model or reference, such as `steps=200`.
    """

    def raw(scope: Scope) -> Expression:
        metric_id = find_metric(scope.connection, name)
        found = sa.select(scores.c.value).where(
            scores.c.job_id == jobs.c.id, scores.c.metric_id == metric_id, DONE
        )
        return found.correlate(jobs).scalar_subquery()

    def where(scope: Scope, values: Sequence[Value]) -> Condition:
        try:
            return has_number(raw)(scope, values)
        except UsageError as exc:
            raise RefusedError(str(exc), values[0]) from exc

    return Column(
        name=f"score.{name}",
        about=f"score by the metric {name}",
        form="number or range",
        where=where,
        read=read_number,
        raw=raw,
        is_number=True,
    )


def read_metrics(connection: Connection) -> dict[str, list[sa.Row[Any]]]:
    """Return the rows of metrics by the shortest name that tells them apart.

    Metrics that differ only in their version have one name. The first of them is the
    one that counts everywhere: the newest that has computed a score, if any has.
    Distances between seeds are always told apart from those to many steps.
    """
    has_scored = sa.exists().where(
        scores.c.metric_id == metrics.c.id, scores.c.value.is_not(None)
    )
    kinds: dict[tuple[str, str, str], list[sa.Row[Any]]] = {}
    query = sa.select(metrics, has_scored.label("has_scored")).order_by(metrics.c.id)
    for row in connection.execute(query):
        kinds.setdefault((row.name, row.model, row.reference), []).append(row)
    for rows in kinds.values():
        rows.sort(key=lambda row: (bool(row.has_scored), row.id), reverse=True)
    names = [name for name, _, to in kinds if not is_between_seeds(to)]
    return {
        name
        if names.count(name) == 1 and not is_between_seeds(reference)
        else f"{name}@{_detail(model, reference)}": rows
        for (name, model, reference), rows in kinds.items()
    }


def is_between_seeds(reference: str) -> bool:
    """Return whether a metric measures how far another seed is: the unit of limits.

    Args:
        reference: How the image that each is compared with differs, as JSON.
    """
    return "seed" in json.loads(reference)


def matching_names(name: str, known: Collection[str]) -> list[str]:
    """Return which of the names that `read_metrics` returns a name can mean.

    Args:
        name: One of them; or the metric's name alone, or with part of what follows
            the `@`, in any case. Distances between seeds must be named as such.
        known: Some of them.
    """
    if name in known:
        return [name]
    named, _, detail = name.partition("@")
    parts = {each: each.partition("@") for each in known}
    return [
        each
        for each, (its_name, _, its_detail) in parts.items()
        if its_name == named
        and detail.casefold() in its_detail.casefold()
        and ("seed=" in detail or "seed=" not in its_detail)
    ]


def find_metric(connection: Connection, name: str) -> int:
    """Return the id of a metric, in the version that counts, by what people call it.

    Raises:
        UsageError: There is none, or several.
    """
    known = read_metrics(connection)
    found = matching_names(name, known)
    if len(found) == 1:
        return int(known[found[0]][0].id)
    alike = found or matching_names(name.partition("@")[0], known)
    raise UsageError(_no_such_metric(name, known, alike))


def _no_such_metric(name: str, known: Collection[str], alike: Collection[str]) -> str:
    if alike:
        listed = " or ".join(f"score.{each}" for each in alike)
        return f"a score must be of one metric, got score.{name}; write {listed}."
    near = get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean score.{near[0]}?"
    elif known:
        hint = f"there are {', '.join(f'score.{each}' for each in known)}."
    else:
        hint = "nothing was scored yet."
    return f"a score must be of a metric that was asked for, got score.{name}; {hint}"


def _detail(model: str, reference: str) -> str:
    changes: Mapping[str, Any] = json.loads(reference)
    parts = [f"{name}={value}" for name, value in changes.items()]
    # Written as the name of a column may be.
    return re.sub(r"[^\w.@/=,-]", "_", ",".join([*filter(None, [model]), *parts]))
