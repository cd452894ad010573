"""Redis and SQL: there, new enough, and configured so that nothing is lost."""

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from statistics import median
from typing import Any

import sqlalchemy as sa
from redis.exceptions import (
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from producer.display.amounts import size
from producer.health.check import Check, fail, fine, warn
from storage.broker.embedded import is_running, refuse_out_of_reach, socket_url
from storage.broker.queue import make_app, redis_client
from storage.broker.servers import MINIMUM_VERSION, find_server
from storage.settings import Settings, without_password
from storage.sql.clocks import clock
from storage.sql.database import HEAD, Database, open_database, open_for_reading
from storage.sql.schema import sweeps

#: Pings over which the delay of Redis is taken, and seconds above which it is slow.
PINGS, SLOW_S = 9, 0.05
#: The oldest SQLite with RETURNING, and the oldest maintained PostgreSQL.
MINIMUM_SQLITE, MINIMUM_POSTGRES = (3, 35), 14
#: Seconds after which a key expires that the doctor wrote and could not remove.
KEPT_S = 60
#: Redis is nearly full if its memory is below so many times the memory in use.
NEARLY_FULL = 1.25
#: What to do about errors of a Redis that takes no writes.
REDIS_REFUSALS = (
    (ReadOnlyError, "set NIGHTSWEEP_REDIS_URL to its primary, which takes writes"),
    (OutOfMemoryError, "raise its maxmemory, or delete what else is in it"),
)
#: Seconds by which clocks may differ before figures look odd.
SERVER_CLOCK_SLACK_S = 2.0


def check_redis(settings: Settings) -> Iterator[Check]:
    """Check Redis as it is; the embedded one is not started for this."""
    if settings.redis_url is None and not is_running(settings):
        refuse_out_of_reach(settings)
        server = find_server()
        detail = f"not running; started when needed, by {server} at {server.path}"
        yield fine("Redis", detail)
        return
    url = settings.redis_url or socket_url(settings)
    with closing(make_app(url)) as app, redis_client(app) as client:
        delay_s = median(_ping_s(client) for _ in range(PINGS))
        yield _check_write(client)
        try:
            info = client.info()
        except ResponseError as exc:  # a user with few rights
            advice = "look at its version, maxmemory-policy and appendonly yourself"
            yield warn("Redis", f"it answers, but not INFO: {exc}", advice=advice)
            return
    where = f"{without_password(url)} answers in {1000 * delay_s:.1f} ms"
    yield _check_version(info, where, delay_s)
    yield from _check_keeping(info)


def check_sql(settings: Settings) -> Iterator[Check]:
    """Check the database: its version, and that it can be written."""
    there = open_for_reading(settings.database_url)
    if there is None:
        shown = without_password(settings.database_url)
        yield fine("SQL", f"{shown} is empty; the first sweep makes its tables")
        return
    there.close()
    # `open_for_reading` found the newest schema: nothing is upgraded here.
    with closing(open_database(settings.database_url)) as opened:
        with opened.write() as connection:
            nothing = sa.update(sweeps).where(sweeps.c.id < 0)
            connection.execute(nothing.values(state="active"))
        yield _check_sqlite(opened) if opened.is_sqlite else _check_postgres(opened)


def check_clock(database: Database | None) -> Iterator[Check]:
    """Check this machine's clock against the database's, by which leases end."""
    if database is None or database.is_sqlite:
        yield fine("clock", "not checked: there is no database server to ask")
        return
    with database.read() as connection:
        before = time.time()
        theirs = clock(connection)
        apart_s = abs(theirs - (before + time.time()) / 2)
    detail = f"it differs from the database's by {apart_s:.1f} s"
    if apart_s > SERVER_CLOCK_SLACK_S:
        yield warn("clock", detail, advice="set both by NTP")
    else:
        yield fine("clock", detail)


def _ping_s(client: Any) -> float:
    started = time.perf_counter()
    client.ping()
    return time.perf_counter() - started


def _check_write(client: Any) -> Check:
    """Write a key, which expires by itself, and remove it."""
    name, key = "Redis writes", f"doctor:{secrets.token_hex(8)}"
    try:
        client.set(key, "", ex=KEPT_S)
        client.delete(key)
    except NoPermissionError as exc:
        advice = "use the URL of a worker, whose user may SET and DEL"
        return warn(name, f"not tried: {exc}", advice=advice)
    except ResponseError as exc:
        advice = next(
            (each for kind, each in REDIS_REFUSALS if isinstance(exc, kind)), ""
        )
        detail = f"it takes no message: {str(exc).rstrip('.')}"
        return fail(name, detail, advice=advice or "mend that on its machine")
    return fine(name, "it takes messages")


def _check_version(info: Mapping[str, Any], where: str, delay_s: float) -> Check:
    version = str(info["redis_version"])  # for Valkey, the Redis that it matches
    valkey = info.get("valkey_version")
    found = f"Valkey {valkey}" if valkey else version
    oldest = ".".join(map(str, MINIMUM_VERSION))
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
        detail = f"it must be {oldest} or newer, but {where} is {found}"
        return fail("Redis", detail, advice="install a newer one")
    if delay_s > SLOW_S:
        advice = "use one that is nearer: every message waits for it"
        return warn("Redis", f"{found}, {where}", advice=advice)
    return fine("Redis", f"{found}, {where}")


def _check_keeping(info: Mapping[str, Any]) -> Iterator[Check]:
    policy = info.get("maxmemory_policy", "noeviction")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if policy == "noeviction" and 0 < most < NEARLY_FULL * used:
        detail = f"{size(used)} of {size(most)} are in use"
        yield warn("Redis memory", detail, advice="raise maxmemory: messages need room")
    elif policy == "noeviction":
        yield fine("Redis memory", "it throws no message away (noeviction)")
    else:
        detail = f"it may throw messages away (maxmemory-policy {policy})"
        yield fail("Redis memory", detail, advice="set maxmemory-policy noeviction")
    if info.get("aof_enabled"):
        yield fine("Redis file", "messages outlive a restart (appendonly)")
    else:
        detail = "a restart loses all messages, and workers find their jobs in SQL only"
        yield warn("Redis file", detail, advice="set appendonly yes")


def _check_sqlite(database: Database) -> Check:
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        oldest = ".".join(map(str, MINIMUM_SQLITE))
        detail = f"SQLite must be {oldest} or newer, got {sqlite3.sqlite_version}"
        return fail("SQL", detail, advice="use a newer Python")
    with database.read() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    path = database.engine.url.database
    if mode != "wal":
        detail = f"{path} must be in WAL mode, but is in {mode}"
        return fail("SQL", detail, advice="put it on a local disk")
    version = f"SQLite {sqlite3.sqlite_version}, schema {HEAD}, WAL, writable"
    return fine("SQL", f"{version}, at {path}")


def _check_postgres(database: Database) -> Check:
    with database.read() as connection:
        shown = str(connection.exec_driver_sql("SHOW server_version").scalar())
        number = connection.exec_driver_sql("SHOW server_version_num").scalar()
    where = database.engine.url.render_as_string(hide_password=True)
    detail = f"PostgreSQL {shown}, schema {HEAD}, writable, at {where}"
    if int(number or 0) // 10_000 < MINIMUM_POSTGRES:
        advice = f"use {MINIMUM_POSTGRES} or newer"
        return warn("SQL", detail, advice=advice)
    return fine("SQL", detail)
