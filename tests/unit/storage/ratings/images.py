"""Images to rate and to vote on, as rows only."""

from storage.jobs.results import record_done
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, make_result, take


def finish(database: Database, *, limit: int = 1000) -> None:
    """Have a worker make the images that are asked for."""
    made = {
        one.id: make_result(path=f"{one.job.key}.png")
        for one in take(database, limit=limit)
    }
    record_done(
        database, made, worker="cpu0", environment=ENVIRONMENT, owner="host:1:1"
    )
