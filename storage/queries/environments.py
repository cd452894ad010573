"""What made the images that a query means."""

import sqlalchemy as sa

from storage.queries.answers import read_meaning
from storage.queries.terms import Query
from storage.sql.database import Database
from storage.sql.schema import environments, results


def read_environments(database: Database, query: Query | str) -> list[str]:
    """Return the details of every environment that made an image of a query, as JSON.

    Raises:
        UsageError: A name in the query does not exist.
    """
    selection = read_meaning(database, query)
    mine = results.c.job_id.in_(selection.select_ids())
    ids = sa.select(results.c.environment_id).where(mine)
    details = sa.select(environments.c.details).where(environments.c.id.in_(ids))
    with database.read() as connection:
        return list(connection.execute(details.order_by(environments.c.id)).scalars())
