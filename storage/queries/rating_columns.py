"""Columns of what people say of images: `rating`, `verdict` and `rated_by`."""

from collections.abc import Sequence

import sqlalchemy as sa

from storage.queries.column_kinds import Column, Expression, any_matches, has_number
from storage.queries.scope import Condition, Scope
from storage.queries.terms import Value
from storage.queries.values import one_of, read_number
from storage.sql.schema import VERDICTS, jobs, ratings

#: The mean stars of the rows of ratings that are read; of integers, it would be a
#: decimal on PostgreSQL.
MEAN_STARS: Expression = sa.func.avg(sa.cast(ratings.c.stars, sa.Float(53)))


def _of_job(value: Expression) -> Expression:
    """Return a value of all ratings of a job; most jobs have none."""
    found = sa.select(value).where(ratings.c.job_id == jobs.c.id)
    return found.correlate(jobs).scalar_subquery()


def _mean_stars(_scope: Scope) -> Expression:
    return _of_job(MEAN_STARS)


def _verdicts(_scope: Scope) -> Expression:
    """Return the verdict; both, with a comma, where people disagree."""
    least, most = (read(ratings.c.verdict) for read in (sa.func.min, sa.func.max))
    return _of_job(sa.case((least < most, least + "," + most), else_=least))


def _people(scope: Scope) -> Expression:
    names = sa.func.aggregate_strings(ratings.c.who, ",")
    if scope.connection.dialect.name == "sqlite":
        # It reads the ratings of a job by its index, in the order of the names.
        return _of_job(names)
    return _of_job(names.aggregate_order_by(ratings.c.who))


def _somebody(says: Condition) -> Condition:
    """Return the condition that somebody's rating of a job meets a condition."""
    found = sa.select(ratings.c.job_id).where(ratings.c.job_id == jobs.c.id, says)
    return found.correlate(jobs).exists()


def _has_verdict(_scope: Scope, values: Sequence[Value]) -> Condition:
    return _somebody(ratings.c.verdict.in_([each.asked for each in values]))


def _is_rated_by(_scope: Scope, values: Sequence[Value]) -> Condition:
    return _somebody(any_matches(ratings.c.who, values, is_part=False))


RATING_COLUMNS = (
    Column(
        name="rating",
        about="stars, the mean over people",
        form="number or range",
        where=has_number(_mean_stars),
        read=read_number,
        raw=_mean_stars,
        is_number=True,
    ),
    Column(
        name="verdict",
        about="what anybody decided about it",
        form=", ".join(f"`{each}`" for each in VERDICTS),
        where=_has_verdict,
        read=one_of(VERDICTS),
        raw=_verdicts,
    ),
    Column(
        name="rated_by",
        about="who gave it stars or a verdict",
        form="all of it",
        where=_is_rated_by,
        raw=_people,
    ),
)
