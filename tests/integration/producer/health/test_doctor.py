"""The doctor's looks at a real Redis and a real PostgreSQL."""

from dataclasses import replace

import pytest

from producer.health import services
from producer.health.check import Check, guarded
from storage.broker.embedded import is_running, stop
from storage.broker.queue import redis_client
from storage.sql.database import open_database


def verdicts(checks) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def checked(settings, app, name, value) -> dict[str, Check]:
    """What is said of a Redis with a changed setting, which is put back."""
    with redis_client(app) as client:
        usual = client.config_get(name)[name]
        client.config_set(name, value)
        checks = {check.name: check for check in services.check_redis(settings)}
        client.config_set(name, usual)
    return checks


@pytest.fixture
def _near(monkeypatch) -> None:
    """Have no Redis far away, however slow the machine is."""
    monkeypatch.setattr(services, "SLOW_S", float("inf"))


@pytest.mark.usefixtures("_near")
def test_the_embedded_redis_is_as_it_should_be(settings, app) -> None:
    checks = [*services.check_redis(settings)]
    names = ("Redis writes", "Redis", "Redis memory", "Redis file")
    assert verdicts(checks) == dict.fromkeys(names, "ok")
    assert "answers in" in checks[1].detail
    with redis_client(app) as client:
        assert client.keys("*doctor*") == []
    stop(settings)
    (check,) = services.check_redis(settings)
    assert check.detail.startswith("not running")
    assert not is_running(settings)


@pytest.mark.usefixtures("_near")
def test_a_redis_that_loses_messages_is_told(settings, app) -> None:
    with redis_client(app) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
    checks = {check.name: check for check in services.check_redis(settings)}
    assert verdicts(checks.values()) == {
        "Redis writes": "ok",
        "Redis": "ok",
        "Redis memory": "fail",
        "Redis file": "warn",
    }
    assert checks["Redis memory"].advice == "set maxmemory-policy noeviction"
    assert checks["Redis file"].advice == "set appendonly yes"


def test_a_user_who_may_not_ask_for_info_is_told_what_to_look_at(settings, app) -> None:
    with redis_client(app) as client:
        client.acl_setuser("default", enabled=True, commands=["-info"])
    _, check = services.check_redis(settings)
    with redis_client(app) as client:
        client.acl_setuser("default", enabled=True, commands=["+info"])
    assert check.verdict == "warn"
    assert "maxmemory-policy" in check.advice


@pytest.mark.usefixtures("_near")
def test_a_replica_is_refused_since_it_takes_no_message(settings, app) -> None:
    with redis_client(app) as client:
        client.replicaof("127.0.0.1", "1")
    checks = {check.name: check for check in services.check_redis(settings)}
    with redis_client(app) as client:
        client.replicaof("NO", "ONE")
    assert checks["Redis writes"].verdict == "fail"
    assert "read only replica" in checks["Redis writes"].detail
    assert "primary" in checks["Redis writes"].advice


@pytest.mark.usefixtures("_near")
def test_a_redis_whose_memory_is_full_is_refused(settings, app) -> None:
    checks = checked(settings, app, "maxmemory", "900kb")
    assert checks["Redis writes"].verdict == "fail"
    assert "used memory > 'maxmemory'" in checks["Redis writes"].detail
    assert "maxmemory" in checks["Redis writes"].advice


@pytest.mark.usefixtures("_near")
def test_a_redis_whose_memory_is_nearly_full_is_told(settings, app) -> None:
    with redis_client(app) as client:
        most = int(1.1 * client.info()["used_memory"])
    checks = checked(settings, app, "maxmemory", most)
    assert checks["Redis writes"].verdict == "ok"
    assert checks["Redis memory"].verdict == "warn"
    assert "are in use" in checks["Redis memory"].detail


def test_a_redis_that_asks_for_replicas_is_refused(settings, app) -> None:
    check = checked(settings, app, "min-replicas-to-write", 1)["Redis writes"]
    assert check.verdict == "fail"
    assert "Not enough good replicas" in check.detail


def test_a_user_who_may_not_write_is_told_whose_url_to_use(settings, app) -> None:
    with redis_client(app) as client:
        client.acl_setuser("default", enabled=True, commands=["-set"])
    check = next(services.check_redis(settings))
    with redis_client(app) as client:
        client.acl_setuser("default", enabled=True, commands=["+set"])
    assert check.verdict == "warn"
    assert "URL of a worker" in check.advice


@pytest.mark.parametrize(
    ("changed", "verdict", "said"),
    [
        ({"redis_version": "6.0.16"}, "fail", "6.2 or newer, but there is 6.0.16"),
        ({"redis_version": "7.2.4"}, "ok", "7.2.4, there"),
        (
            {"redis_version": "7.2.4", "valkey_version": "9.1.2"},
            "ok",
            "Valkey 9.1.2, there",
        ),
    ],
)
def test_an_old_redis_is_refused(changed, verdict, said) -> None:
    check = services._check_version(changed, "there", 0.001)
    assert (check.verdict, said in check.detail) == (verdict, True)


def test_a_redis_far_away_is_told() -> None:
    check = services._check_version({"redis_version": "7.2.4"}, "there", 0.2)
    assert check.verdict == "warn"


def test_a_postgresql_server_is_asked_for_all(settings, url) -> None:
    there = replace(settings, database_url=url)
    (check,) = services.check_sql(there)
    assert check.detail.endswith("is empty; the first sweep makes its tables")
    database = open_database(url)
    (check,) = services.check_sql(there)
    assert check.verdict == "ok"
    assert check.detail.startswith("PostgreSQL ")
    (clock,) = services.check_clock(database)
    assert clock.detail.startswith("it differs from the database's by ")
    database.close()


@pytest.mark.parametrize("apart_s", [10, -100])
def test_a_clock_that_goes_wrong_is_told(url, monkeypatch, apart_s) -> None:
    database = open_database(url)
    right = services.clock
    monkeypatch.setattr(services, "clock", lambda c: right(c) + apart_s)
    (check,) = services.check_clock(database)
    assert (check.verdict, check.advice) == ("warn", "set both by NTP")
    database.close()


def test_a_user_without_rights_is_told(settings, server, url) -> None:
    open_database(url).close()
    with server.connect() as connection:
        connection.execute("CREATE ROLE reader LOGIN")
    name = url.partition("@/")[2].partition("?")[0]
    with server.connect(name) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    there = replace(settings, database_url=url.replace("//me@", "//reader@"))
    (check,) = guarded("SQL", services.check_sql(there))
    assert check.verdict == "fail"
    assert "permission denied" in check.detail
    assert "or give them to this one (docs/security.md)" in check.detail
