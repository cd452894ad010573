"""Columns of scores: `score.clip`, and `score.clip@model` where there are several."""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.queries.kinds import Column, Expression, has_number
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


def metric_names(connection: Connection) -> dict[str, int]:
    """Return the metrics by the shortest name that tells them apart, with their ids.

    Of metrics that differ only in version, the newest counts.
    """
    kinds: dict[tuple[str, str, str], int] = {}
    for row in connection.execute(sa.select(metrics).order_by(metrics.c.id)):
        kinds[row.name, row.model, row.reference] = row.id
    names = [name for name, _, _ in kinds]
    return {
        name if names.count(name) == 1 else f"{name}@{_detail(model, reference)}": id_
        for (name, model, reference), id_ in kinds.items()
    }


def find_metric(connection: Connection, name: str) -> int:
    """Return the id of a metric by its name, and part of what tells it from others.

    Raises:
        UsageError: There is none, or several.
    """
    known = metric_names(connection)
    if name in known:
        return known[name]
    named, _, detail = name.partition("@")
    same = {each: id_ for each, id_ in known.items() if each.split("@")[0] == named}
    fitting = {
        each: id_
        for each, id_ in same.items()
        if detail and detail.casefold() in each.partition("@")[2].casefold()
    }
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    raise UsageError(_no_such_metric(name, known, fitting or same))


def _no_such_metric(
    name: str, known: Mapping[str, int], alike: Mapping[str, int]
) -> str:
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
