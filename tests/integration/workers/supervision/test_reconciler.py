"""Repair: nothing waits for a worker that is gone, or for a message that was lost."""

import subprocess
import time
from dataclasses import replace

import pytest
from celery import Celery
from redis import Redis

from storage.broker.embedded import stop
from storage.broker.queue import QUEUE, redis_client, send, waiting
from storage.broker.server_socket import socket_path
from storage.errors import QueueError
from storage.fleet import registry
from storage.host.worker_ids import my_host, my_name
from storage.jobs import blocked_groups, lifecycle
from storage.jobs.claims import BEATS_PER_LEASE
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweeps import find_sweep
from storage.settings import Settings
from storage.sql.database import Database
from storage.sql.leases import MAX_DEATHS
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
)
from tests.unit.storage.fleet.test_registry import ENTRY
from workers.supervision.reconciler import (
    Reconciler,
    free_the_dead,
    reconcile,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

FAILURES = 21
#: So long that nothing ends of itself here.
LEASE_S = 3600


def name_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_silent_workers_job_is_freed(database: Database) -> None:
    submit(database, plan_seeds(1, 2))
    take(database, "elsewhere:1:1", lease_s=-1, limit=1)
    take(database, "elsewhere:2:2", limit=1)
    assert free_the_dead(database) == 1
    assert states(database) == {1: "pending", 2: "leased"}


def test_a_dead_worker_of_this_host_is_not_waited_for(
    database: Database, other: "subprocess.Popen[str]"
) -> None:
    submit(database, plan_seeds(1, 2))
    take(database, name_of(other), limit=1)
    take(database, my_name(), limit=1)
    assert free_the_dead(database) == 0
    other.kill()
    other.wait()
    assert free_the_dead(database) == 1
    assert states(database) == {1: "pending", 2: "leased"}


def test_after_an_outage_of_sql_the_living_may_lengthen_their_leases_first(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1, 2))
    repair = Reconciler(database, app, lease_s=LEASE_S)
    repair()
    repair._spares_until = 0.0
    take(database, "elsewhere:1:1", lease_s=-1)
    repair._looked = 0.0, 0.0  # nobody has looked for long
    repair()
    assert set(states(database).values()) == {"leased"}
    assert repair._spares_until - repair._looked[0] == pytest.approx(LEASE_S / 2)
    repair._spares_until -= LEASE_S / 2
    repair()
    assert set(states(database).values()) == {"pending"}


def test_who_looks_first_gives_the_living_two_beats(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1))
    take(database, "elsewhere:1:1", lease_s=-1)
    repair = Reconciler(database, app, lease_s=LEASE_S)
    repair()
    assert states(database) == {1: "leased"}
    assert repair._looked
    two_beats_s = 2 * LEASE_S / BEATS_PER_LEASE
    assert repair._spares_until - repair._looked[0] == pytest.approx(two_beats_s)
    repair._spares_until -= two_beats_s
    repair()
    assert states(database) == {1: "pending"}


def test_leases_that_ended_while_the_machine_slept_may_be_lengthened(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1))
    take(database, "elsewhere:1:1", lease_s=-1)
    repair = Reconciler(database, app, lease_s=60)
    repair._looked = time.monotonic(), time.time() - 9
    repair()
    assert states(database) == {1: "pending"}
    take(database, "elsewhere:1:1", lease_s=-1)
    repair._looked = time.monotonic(), time.time() - 11
    repair()
    assert states(database) == {1: "leased"}


def test_repair_never_sets_a_job_aside(database: Database) -> None:
    submit(database, plan_seeds(1))
    for _ in range(MAX_DEATHS + 1):
        take(database, "elsewhere:1:1", lease_s=-1)
        assert free_the_dead(database) == 1
    assert [(row.state, row.attempts) for row in job_rows(database)] == [("pending", 0)]


def test_jobs_without_a_message_get_one(database: Database, app: Celery) -> None:
    submit(database, [*plan_seeds(1, 2), make_planned(seed=3, width=768)])
    assert len(reconcile(database, app)) == 2
    assert waiting(app) == 2


def test_while_messages_wait_none_is_sent(database: Database, app: Celery) -> None:
    submit(database, plan_seeds(1, 2))
    send(app, {"group": ["0" * 32]}, priority=9)
    assert reconcile(database, app) == set()
    assert waiting(app) == 1


def test_repeated_repair_sends_no_more(database: Database, app: Celery) -> None:
    submit(database, plan_seeds(1, 2))
    assert [len(reconcile(database, app)) for _ in range(3)] == [1, 0, 0]


def test_what_redis_lost_is_sent_again(
    database: Database, app: Celery, settings: Settings
) -> None:
    submit(database, plan_seeds(1, 2))
    reconcile(database, app)
    with Redis(unix_socket_path=str(socket_path(settings))) as client:
        client.flushall()
    assert len(reconcile(database, app)) == 1
    assert waiting(app) == 1


def test_a_message_is_sent_for_every_group_however_many_jobs_another_has(
    database: Database, app: Celery
) -> None:
    wide = make_planned(seed=-1, position=600, width=768)
    submit(database, [*plan_seeds(*range(600)), wide])
    assert reconcile(database, app) == {wide.job.group, make_job().group}
    named: list[str] = []
    with app.connection_for_read() as connection:
        channel = connection.channel()
        while message := channel.basic_get(QUEUE, no_ack=True):
            named += message.payload[0][0]
    assert make_job(seed=0).key in named
    assert wide.job.key in named


def test_a_freed_job_gets_a_message_at_once(database: Database, app: Celery) -> None:
    submit(database, plan_seeds(1))
    take(database, "elsewhere:1:1", lease_s=-1)
    assert len(reconcile(database, app)) == 1


def add_worker(database: Database, name: str, **changes: str) -> None:
    """Have an idle worker on this host, or as `changes` say."""
    about = {"owner": name, "name": name, "host": my_host(), "phase": "idle", **changes}
    registry.note(database, replace(ENTRY, **about))


def block(database: Database, group: str, *workers: str, host: str = "") -> None:
    for name in workers:
        about = {"host": host or my_host(), "worker": name}
        blocked_groups.block(database, group, **about, reason="no such model")


def test_what_every_worker_of_the_host_leaves_alone_is_not_sent(
    database: Database, app: Celery
) -> None:
    wide = make_planned(seed=3, width=768)
    submit(database, [*plan_seeds(1, 2), wide])
    for name in ("gpu0", "gpu1"):
        add_worker(database, name)
    add_worker(database, "gpu2", phase="backoff")
    add_worker(database, "gpu3", phase="painting")
    add_worker(database, "gpu4", host="elsewhere")
    group = make_job().group
    block(database, group, "gpu0", "gpu1")
    assert reconcile(database, app) == {wide.job.group}
    assert waiting(app) == 1


def test_what_an_idle_worker_may_make_is_sent_until_it_comes_to_that_one(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1, 2))
    group = make_job().group
    for name in ("gpu0", "gpu1"):
        add_worker(database, name)
    block(database, group, "gpu0")
    block(database, group, "gpu0", "gpu1", host="elsewhere")
    assert reconcile(database, app) == {group}
    assert waiting(app) == 4, "one for each that may take it"


def test_what_a_worker_left_alone_is_sent_when_its_pause_is_over(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1, 2))
    add_worker(database, "gpu0")
    group = make_job().group
    block(database, group, "gpu0")
    assert reconcile(database, app) == set()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE blocks SET retry_at = since")
    assert reconcile(database, app) == {group}
    assert waiting(app) == 1


def test_what_is_sent_again_and_again_is_logged_once_and_on_change(
    database: Database, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "workers.supervision.reconciler")
    repair = Reconciler(database, app, lease_s=90)

    def logged() -> int:
        with redis_client(app) as client:
            client.delete(QUEUE, f"{QUEUE}\x06\x163")
        repair()
        return caplog.text.count("groups again")

    submit(database, plan_seeds(1, 2))
    assert [logged() for _ in range(3)] == [1, 1, 1]
    submit(database, [make_planned(seed=3, width=768)], name="other")
    assert [logged() for _ in range(2)] == [2, 2]


def test_where_nothing_is_left_to_do_nothing_is_sent(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1, 2))
    one, _ = take(database)
    record_done(
        database, {one.id: make_result()}, worker="cpu0", environment=ENVIRONMENT
    )
    assert reconcile(database, app) == set()
    assert waiting(app) == 0


def test_what_a_killed_command_left_half_done_is_finished(
    database: Database, app: Celery
) -> None:
    sweep = submit(database, plan_seeds(1, 2))
    lifecycle.set_state(database, sweep, "paused")
    with database.write() as connection:
        # As `resume` says it first.
        resume = "UPDATE sweeps SET state='active', changes=changes + 1"
        connection.exec_driver_sql(resume)
    Reconciler(database, app, lease_s=90)()
    assert waiting(app) == 1
    assert len(take(database)) == 2


def test_what_commands_left_half_done_is_looked_for_again_and_again(
    database: Database, app: Celery
) -> None:
    submit(database, plan_seeds(1, 2))
    repair = Reconciler(database, app, lease_s=90)
    repair()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET priority=NULL")
        connection.exec_driver_sql("UPDATE sweeps SET changes=changes + 1")
    assert take(database) == []
    repair()
    assert len(take(database)) == 2


def test_a_sweep_that_fails_is_paused(database: Database, app: Celery) -> None:
    submit(database, plan_seeds(*range(FAILURES + 5)))
    for claim in take(database, limit=FAILURES):
        record_failure(database, claim.id, owner="host:1:1", error="latents are NaN")
    take(database, limit=1)
    assert reconcile(database, app) == set()
    sweep = find_sweep(database, "night")
    assert sweep
    assert sweep.state == "paused"
    assert take(database) == []


@pytest.mark.databases("sqlite")
def test_the_dead_are_freed_though_redis_is_away(
    database: Database, app: Celery, settings: Settings
) -> None:
    submit(database, plan_seeds(1))
    take(database, "elsewhere:1:1", lease_s=-1)
    stop(settings)
    with pytest.raises(QueueError, match="Redis must be reachable"):
        reconcile(database, app)
    assert states(database) == {1: "pending"}


def test_messages_for_one_back_end_hold_up_no_other(
    database: Database, app: Celery
) -> None:
    flax = {"backend": "flax", "generator": "numpy"}
    submit(database, [make_planned(seed=1), make_planned(position=1, **flax)])
    group = make_job(**flax).group
    send(app, {group: [make_job(**flax).key]}, priority=5)
    assert reconcile(database, app) == {make_job(seed=1).group}
    assert (waiting(app), waiting(app, "flax")) == (1, 1)
    with redis_client(app) as client:
        client.flushall()
        assert reconcile(database, app) == {make_job(seed=1).group, group}
        assert reconcile(database, app) == set()
    assert (waiting(app), waiting(app, "flax")) == (1, 1)


def test_only_idle_workers_of_its_own_back_end_are_woken_for_a_blocked_group(
    database: Database, app: Celery
) -> None:
    flax = {"backend": "flax", "generator": "numpy"}
    submit(database, [make_planned(**flax)])
    group = make_job(**flax).group
    for name, backend in (("cpu0", "torch"), ("flax0", "flax")):
        registry.note(
            database,
            replace(
                ENTRY,
                owner=f"{name}:1:1",
                name=name,
                host=my_host(),
                backend=backend,
                phase="idle",
            ),
        )
    blocked_groups.block(
        database, group, host=my_host(), worker="flax0", reason="no memory"
    )
    assert reconcile(database, app) == set()
    assert waiting(app, "flax") == 0
