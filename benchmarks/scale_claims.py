"""Claims of a large sweep: fresh, behind jobs that are done, and when all are done."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import sqlalchemy as sa
from scale_fleet import LEASE_S
from scale_server import Observer

from storage.jobs import claims
from storage.jobs.runnable_groups import runnable_groups
from storage.settings import Settings
from storage.sql.database import Database, open_database

LIMITS = (16, 64)
CLAIMS = 40
OWNER = "claims:1:1"
#: Jobs that are marked as done in one transaction.
CHUNK = 10_000
HEADER = ("jobs", "claim of", "p50 ms", "p99 ms", "server CPU ms", "pages")
#: What claim and result leave behind: two dead rows of a job.
FINISH = (
    "UPDATE jobs SET state = 'leased', owner = 'done', lease_until = 1, attempts = 1 "
    "WHERE id BETWEEN %s AND %s AND state = 'pending'",
    "UPDATE jobs SET state = 'done', owner = NULL, lease_until = NULL, total_s = 4.0 "
    "WHERE id BETWEEN %s AND %s AND owner = 'done'",
)
RESULTS = """
    INSERT INTO environments (digest, gpu, host, details)
    VALUES (repeat('0', 32), 'simulated', 'simulated', '{}') ON CONFLICT DO NOTHING;
    INSERT INTO results (job_id, environment_id, worker, path, size_bytes, pixel_sha256,
        batch_width, slot, evaluations, load_s, encode_s, denoise_s, decode_s, save_s,
        warm_up, finished_at)
    SELECT id, (SELECT max(id) FROM environments), 'gpu0', key || '.png', 400000,
        key || key, 16, 0, evaluations, 0,
        0.01, 3.9, 0.05, 0.04, false, to_char(clock_timestamp() AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US+00:00')
    FROM jobs WHERE id BETWEEN {first} AND {last} AND state = 'done'
    ON CONFLICT DO NOTHING
"""


def measure(settings: Settings, finished: int) -> Iterator[list[str]]:
    """Yield rows of the table, as stage follows stage.

    Args:
        settings: Where the jobs are; none of them is done yet.
        finished: How many are done in the middle.
    """
    url = sa.make_url(settings.database_url).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with (
        closing(open_database(settings.database_url)) as database,
        closing(Observer(settings.database_url)) as observer,
        psycopg.connect(address, autocommit=True) as connection,
    ):
        yield from _claims("none is done", database, observer)
        with _snapshot(address):
            finish(connection, finished)
            stage = f"{finished:,} are done, one old transaction is open"
            yield from _claims(stage, database, observer)
        yield from _claims(f"{finished:,} are done", database, observer)
        connection.execute("VACUUM ANALYZE jobs")
        yield from _claims(f"{finished:,} are done, vacuumed", database, observer)
        claims.free_owner(database, OWNER, died=False)


def finish(connection: psycopg.Connection, count: int) -> None:
    """Mark the first jobs as done, as claims and results would."""
    for first in range(1, count + 1, CHUNK):
        last = min(first + CHUNK - 1, count)
        for statement in FINISH:
            connection.execute(statement, [first, last])
        connection.execute(
            RESULTS.replace("{first}", str(first)).replace("{last}", str(last))
        )


@contextmanager
def _snapshot(address: str) -> Iterator[None]:
    """Keep a transaction open that has seen the database as it is now."""
    with psycopg.connect(address) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM sweeps")
        yield


def _claims(stage: str, database: Database, observer: Observer) -> Iterator[list[str]]:
    group = runnable_groups(database)[0].key
    for limit in LIMITS:
        took, before = [], observer.look()
        for _ in range(CLAIMS):
            began = time.perf_counter()
            claims.claim(
                database, owner=OWNER, lease_s=LEASE_S, group=group, limit=limit
            )
            took.append(1000 * (time.perf_counter() - began))
        work = observer.look() - before
        took.sort()
        row = [stage, str(limit), f"{took[CLAIMS // 2]:.1f}", f"{took[-1]:.1f}"]
        row += [f"{1000 * work.cpu_s / CLAIMS:.1f}", f"{work.buffers / CLAIMS:,.0f}"]
        print(*row, sep="  ", flush=True)
        yield row
