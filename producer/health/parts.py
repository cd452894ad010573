"""The part of all images that a query asks `nightsweep verify` to look at."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from storage.files.verification import EVERYWHERE, Condition
from storage.jobs.sweeps import Sweep, require_sweeps
from storage.queries.answers import read_meaning
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import results


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of the finished images.

    Attributes:
        sweep: The only sweep of all of them; None if there are others.
        condition: On `results`: what else a query says.
        is_partial: Whether images are left out.
    """

    sweep: Sweep | None = None
    condition: Condition = EVERYWHERE
    is_partial: bool = True


def read_part(database: Database, query: Query) -> Part:
    """Return the images that a query means.

    Raises:
        UsageError: A name in the query does not exist.
    """
    meaning = read_meaning(database, replace(query, has_references=True))
    if meaning.member and not meaning.conditions:
        return Part(sweep=require_sweeps(database, meaning.sweeps[:1])[0])
    if not query.terms:
        return Part(is_partial=False)
    ids: sa.Select[tuple[int]] = meaning.select_ids()
    return Part(condition=results.c.job_id.in_(ids))
