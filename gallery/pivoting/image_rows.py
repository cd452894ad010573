"""The rows of the images that a pivot shows, and what was said of them."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.score_columns import DONE, is_between_seeds, read_metrics
from storage.queries.selection import Selection
from storage.sql.schema import VERDICTS, jobs, ratings, scores, sweep_jobs

#: What is read of every image.
COLUMNS: tuple[sa.Column[Any], ...] = (
    *(jobs.c.id, jobs.c.key, jobs.c.state, jobs.c.width, jobs.c.height),
    *(jobs.c.total_s, jobs.c.error),
    *(jobs.c.sweep_id, jobs.c.model_id, jobs.c.prompt_id, jobs.c.scheduler_id),
    *(jobs.c.seed, jobs.c.steps, jobs.c.guidance, jobs.c.dtype, jobs.c.backend),
    *(jobs.c.generator, jobs.c.extras),
)

#: The values of each column, by its name; all have the same length.
Table = Mapping[str, Sequence[Any]]


def read_ids(selection: Selection, *, most: int) -> list[int]:
    """Return the ids of some of a selection's rows, or of all if `most` are enough."""
    if selection.is_empty:
        return []
    rows = selection.select(selection.job_id).limit(most)
    if not selection.conditions:
        # Else SQLite would go through all jobs in order, rather than use an index.
        rows = rows.order_by(selection.job_id)
    return sorted(selection.scope.connection.execute(rows).scalars().all())


def read_table(selection: Selection, ids: Sequence[int]) -> Table:
    """Return the columns of some images, and their `cell` within one sweep."""
    rows = sa.select(*COLUMNS).where(among(jobs.c.id, ids))
    if selection.scope.sweep_id is not None:
        rows = rows.add_columns(sweep_jobs.c.cell)
        rows = rows.join(sweep_jobs, sweep_jobs.c.job_id == jobs.c.id)
        rows = rows.where(*selection.member)
    # Not sorted by SQLite, which would copy each row: they come in order, mostly.
    found = sorted(selection.scope.connection.execute(rows), key=itemgetter(0))
    names = [column.name for column in rows.selected_columns]
    values = zip(*found, strict=True) if found else ((),) * len(names)
    return dict(zip(names, values, strict=True))


def among(column: sa.Column[int], ids: Iterable[int]) -> sa.TextClause:
    """Return the condition that a column is one of some ids, of any number.

    As one piece of text: SQLAlchemy takes longer for thousands of values than SQLite
    for their rows, and they may be more than a query has parameters.
    """
    listed = ", ".join(map(str, map(int, ids))) or "NULL"
    return sa.text(f"{column} IN ({listed})")


def read_scores(
    connection: Connection, ids: Sequence[int]
) -> dict[str, list[float | None]]:
    """Return the scores of images by the newest metric of each name, if any has one."""
    known = {
        row.id: name
        for name, (row, *_) in read_metrics(connection).items()
        if not is_between_seeds(row.reference)
    }
    if not known or not ids:
        return {}
    mine = (scores.c.metric_id.in_(known), among(scores.c.job_id, ids))
    columns = (scores.c.metric_id, scores.c.job_id, scores.c.value)
    found: dict[str, dict[int, float]] = {}
    rows = connection.execute(sa.select(*columns).where(DONE, *mine)).all()
    for metric_id, job_id, value in rows:
        found.setdefault(known[metric_id], {})[job_id] = value
    return {
        name: [found[name].get(job_id) for job_id in ids]
        for name in known.values()
        if name in found
    }


def read_ratings(
    connection: Connection, ids: Sequence[int], *, who: str
) -> tuple[list[int], list[int]]:
    """Return the stars that a person gave to images, and the verdicts; 0 for none.

    A verdict is its place in `VERDICTS`, counted from 1.
    """
    numbers: dict[str | None, int] = {None: 0}
    numbers |= {name: number for number, name in enumerate(VERDICTS, start=1)}
    mine = (ratings.c.who == who, among(ratings.c.job_id, ids))
    columns = (ratings.c.job_id, ratings.c.stars, ratings.c.verdict)
    rows = connection.execute(sa.select(*columns).where(*mine))
    found = {job_id: (stars, verdict) for job_id, stars, verdict in rows}
    said = [found.get(job_id, (None, None)) for job_id in ids]
    return [stars or 0 for stars, _ in said], [numbers[verdict] for _, verdict in said]
