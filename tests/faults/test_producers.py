"""Producers that race, are killed, or lose Redis in the midst of their work."""

import base64
import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from celery import Celery

from producer.expansion.expand import BATCH
from storage.broker.queue import make_app, send, waiting
from storage.sql.schema import jobs
from tests.faults.night import Night
from tests.processes import wait_until

#: A `submit` that has stored its second batch, and does not come to send it.
STUCK_SUBMIT = """
import sys, time
from producer.submission import submission
from producer.cli import cli

send, batches = submission.send, []
def stop_at_the_second(*args, **options):
    batches.append(args)
    if len(batches) == 2:
        print("stored", flush=True)
        time.sleep(3600)
    return send(*args, **options)

submission.send = stop_at_the_second
cli(["submit", sys.argv[1]])
"""


def sent(night: Night) -> Counter[str]:
    """Count how often each key waits in Redis."""
    found: Counter[str] = Counter()
    with night.redis.client() as client:
        for name in client.scan_iter("nightsweep:images*"):
            for raw in client.lrange(name, 0, -1):
                body = base64.b64decode(json.loads(raw)["body"])
                found.update(json.loads(body)[0][0])
    return found


def keys(night: Night) -> set[str]:
    """Give the keys of all jobs."""
    with night.database.read() as connection:
        return set(connection.execute(sa.select(jobs.c.key)).scalars())


def ended(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


@pytest.mark.long
def test_two_producers_of_one_sweep_make_each_job_once(night: Night) -> None:
    spec = str(night.spec(count=150, steps=2))
    for process in [night.begin("submit", spec) for _ in range(2)]:
        ended(process)
    assert set(sent(night)) == keys(night)
    assert set(sent(night).values()) == {1}
    with night.working(2, STAND_IN_WIDTH=8):
        night.wait_for(150)
        night.check(done=150)
    assert night.began() == 150


def stored(night: Night) -> int:
    return night.states().total()


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGINT])
def test_a_producer_that_is_ended_half_way_is_run_again(
    night: Night, with_signal: int
) -> None:
    count = 4 * BATCH
    spec = str(night.spec(count=count, steps=1))
    words = [sys.executable, "-P", "-c", STUCK_SUBMIT, spec]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"stored\n"
        process.send_signal(with_signal)
        process.communicate()
    assert stored(night) == 2 * BATCH
    night.run("submit", spec)
    assert stored(night) == count
    named = sent(night)
    assert set(named) <= keys(night)
    assert set(named.values()) == {1}
    # Those that were stored and never sent, workers find in SQL.
    assert len(named) == count - BATCH


@pytest.mark.long
def test_a_redis_that_dies_in_the_midst_of_a_submission(night: Night) -> None:
    spec = str(night.spec(count=4000, steps=1))
    with night.begin("submit", spec) as process:
        wait_until(lambda: stored(night) > 0)
        night.redis.kill()
        time.sleep(0.5)
        night.redis.start()
        process.communicate()
    night.run("submit", spec)
    assert stored(night) == 4000
    with night.working(STAND_IN_WIDTH=64, STAND_IN_STEP_S=0.001):
        night.wait_for(100)
        night.run("cancel", "night")
        wait_until(lambda: not night.owners())
        wait_until(lambda: not any(night.redis.left().values()))
    assert night.began() == len(night.stints())


@pytest.fixture
def queue(night: Night) -> Celery:
    return make_app(night.redis.url)


def used_bytes(night: Night) -> int:
    with night.redis.client() as client:
        return int(client.info("memory")["used_memory"])


def test_a_hundred_thousand_keys_take_little_of_redis(
    night: Night, queue: Celery
) -> None:
    before = used_bytes(night)
    messages = send(queue, {"g": [f"{n:032x}" for n in range(100_000)]}, priority=5)
    assert waiting(queue) == messages
    assert used_bytes(night) - before < 20_000_000
    queue.close()


def total_left(night: Night) -> int:
    return sum(night.redis.left().values())


@pytest.mark.slow
def test_a_cancelled_sweep_of_a_hundred_thousand_jobs_is_painted_no_further(
    night: Night,
) -> None:
    night.submit(count=100_000, steps=100)
    with night.working(2, STAND_IN_WIDTH=4):
        wait_until(lambda: len(night.owners()) == 2)
        night.run("cancel", "night")
        wait_until(lambda: not night.owners())
        begun, states = night.began(), night.states()
        while messages := total_left(night):
            wait_until(lambda: total_left(night) < messages)
        assert (night.began(), night.states()) == (begun, states)
    assert set(states) <= {"done", "pending"}
