"""PostgreSQL with many workers: poolers, and questions that stay cheap."""

from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from storage.errors import UsageError
from storage.jobs import claims
from storage.sql import leases
from storage.sql.database import Database
from storage.sql.engines import make_engine
from storage.sql.schema import jobs
from tests.builders import plan_seeds, submit, take

pytestmark = pytest.mark.databases("postgresql")


def ask(connection: sa.Connection, query: str) -> Any:
    return connection.exec_driver_sql(query).scalar_one()


@pytest.mark.parametrize(("end", "count"), [("", 1), ("prepare_threshold=none", 0)])
def test_a_url_may_switch_prepared_statements_off(
    url: str, end: str, count: int
) -> None:
    engine = make_engine(f"{url}&{end}")
    with closing(Database(engine)) as database, database.read() as connection:
        for _ in range(10):
            connection.exec_driver_sql("SELECT 'often'")
        prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE "
        assert ask(connection, f"{prepared} '%%often''%%'") == count


def test_a_threshold_must_be_none_or_a_number() -> None:
    with pytest.raises(UsageError, match="must be `none` or a number, got soon; end"):
        make_engine("postgresql+psycopg://me@/any?prepare_threshold=soon")


def test_a_worker_finds_its_own_jobs_without_those_of_others(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3, 4))
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *rest: Any) -> None:
        asked.append((statement, rest[0]))

    claims.unwanted(database, "host:1:1")
    statement, values = asked[-1]
    with database.read() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars()
        text = "\n".join(plan)
    assert "ix_jobs_leased" in text
    assert "Index Cond: (owner = 'host:1:1'::text)" in text


def test_a_heartbeat_writes_to_no_index(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3, 4))
    mine = [one.id for one in take(database, "host:1:1", limit=2)]
    with database.write() as connection:
        which = jobs.c.id.in_(mine)
        leases.renew(connection, jobs, which, owner="host:1:1", lease_s=60.0)
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('jobs'::regclass)"
        assert ask(connection, query) == len(mine)
