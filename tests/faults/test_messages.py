"""What is no message of ours ends no worker, runs nothing, and is not kept."""

import base64
import json
import pickle
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from storage.broker.queue import MAKE, send, waiting
from storage.broker.server_socket import socket_path
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import make_planned, states, submit
from tests.processes import running, wait_until

SMALL = {"width": 8, "height": 8, "steps": 1}
#: The Redis list of messages with priority 5.
LIST = "nightsweep:images\x06\x163"
KEY = "0" * 32
FORGED = "2026-01-02 03:04:05,678 ERROR workers.execution.result_writer: forged"
EMBED: dict[str, Any] = {
    "callbacks": None,
    "errbacks": None,
    "chain": None,
    "chord": None,
}


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


@pytest.fixture
def worker(app: Celery, database: Database) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a worker process that serves the embedded Redis."""
    assert app
    assert database
    with running(
        "workers.process.main", "--name", "cpu0", "--device", "cpu"
    ) as process:
        yield process


@pytest.fixture
def redis(app: Celery, settings: Settings) -> Iterator["Redis"]:
    assert app
    with Redis(unix_socket_path=str(socket_path(settings))) as client:
        yield client


def log_lines(settings: Settings) -> list[str]:
    """Give what stands behind the time in each line of the worker's log."""
    text = (settings.logs / "cpu0.log").read_text()
    return [line[25:] for line in text.splitlines()]


def is_made(database: Database) -> bool:
    return set(states(database).values()) == {"done"}


def encoded(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def message(*path: str, value: object = None, **changes: Any) -> str:
    """Make a message as our producers do, but for `changes`, or `value` at `path`."""
    made: dict[str, Any] = {
        "body": encoded([[[KEY]], {}, EMBED]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": MAKE, "id": str(uuid.uuid4()), "retries": 0},
        "properties": {
            "correlation_id": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": "images"},
            "priority": 5,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
        **changes,
    }
    if path:
        *folders, name = path
        inner = made
        for folder in folders:
            inner = inner[folder]
        inner[name] = value
    return json.dumps(made)


def call(*arguments: object, **embed: Any) -> str:
    return message(body=encoded([arguments, {}, {**EMBED, **embed}]))


def garbage(mark: Path) -> dict[str, str | bytes]:
    """Give what is to be discarded; `mark` is a file that some of it would make."""
    pickled = base64.b64encode(pickle.dumps([[Touch(mark)], {}, EMBED])).decode()
    yaml = f"!!python/object/apply:os.system ['touch {mark}']"
    shouted = [{"task": MAKE, "args": [[KEY]], "kwargs": {}, "options": {}}]
    return {
        "no JSON": '{"broken',
        "nothing": "",
        "bytes": b"\xff\xfe\x00",
        "a list": "[]",
        "a number": "1",
        "null": "null",
        "an empty object": "{}",
        "nested without end": "[" * 100_000 + "]" * 100_000,
        "no headers": message(headers=None),
        "headers that are text": message(headers="x"),
        "no properties": message(properties=None),
        "a tag that is a list": message("properties", "delivery_tag", value=[1]),
        "another encoding": message("properties", "body_encoding", value="rot13"),
        "another charset": message(**{"content-encoding": "no-such"}),
        "a body that is a number": message(body=3),
        "a body that is no base64": message(body="%%%"),
        "a body that is no JSON": message(body=base64.b64encode(b"{no").decode()),
        "a body without arguments": message(body=encoded({})),
        "a pickle": message(
            body=pickled, **{"content-type": "application/x-python-serialize"}
        ),
        "a pickle that says it is JSON": message(body=pickled),
        "YAML": message(
            body=base64.b64encode(yaml.encode()).decode(),
            **{"content-type": "application/x-yaml"},
        ),
        "an unknown task": message("headers", "task", value="os.system"),
        "a task of Celery's": message("headers", "task", value="celery.map"),
        "a task that is a list": message("headers", "task", value=[MAKE]),
        "an id with a line break": message("headers", "id", value=f"x\n{FORGED}"),
        "an id that is an object": message("headers", "id", value={}),
        "a date in the future": message("headers", "eta", value="2999-01-01T00:00:00"),
        "a date that is none": message("headers", "eta", value=[5]),
        "a time limit of text": message("headers", "timelimit", value="x"),
        "a compression": message("headers", "compression", value="zlib"),
        "a callback": call([KEY], callbacks=shouted),
        "a callback that is none": call([KEY], callbacks=[3], errbacks=[3]),
        "a chain": call([KEY], chain=[1, 2]),
        "two arguments": call([KEY], [KEY]),
        "keys that are a path": call(["../../etc/passwd"]),
        "keys that climb": call([f"../{KEY[3:]}"]),
        "keys that are numbers": call([1, 2]),
        "keys that are text": call(KEY),
        "keys in an object": call({KEY: 1}),
        "too many keys": call([KEY] * 33),
        "ten megabytes": call("x" * 10_000_000),
    }


def test_all_garbage_is_discarded_and_the_next_good_job_is_made(
    worker: "subprocess.Popen[bytes]",
    redis: "Redis",
    app: Celery,
    database: Database,
    settings: Settings,
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"
    for number, (name, raw) in enumerate(garbage(mark).items()):
        redis.lpush(LIST, raw)
        good = make_planned(seed=number, **SMALL)
        submit(database, [good], name=f"sweep{number}")
        send(app, {good.job.group: [good.job.key]}, priority=5)
        wait_until(lambda: is_made(database) or worker.poll() is not None)
        assert worker.poll() is None, name
    assert not mark.exists()
    assert not redis.hlen("nightsweep:unacked")
    wait_until(lambda: waiting(app) == 0)
    known = re.compile(
        r"INFO cpu0 - - Ready\.|"
        r"INFO cpu0 sweep\d+ [0-9a-f]{32} Stored\.|"
        r"WARNING cpu0 - - Discarded a malformed message.*"
    )
    assert [line for line in log_lines(settings) if not known.fullmatch(line)] == []


def test_redis_holds_nothing_of_a_message_that_was_taken(
    worker: "subprocess.Popen[bytes]",
    redis: "Redis",
    app: Celery,
    database: Database,
) -> None:
    assert worker
    slow = make_planned(seed=0, **{**SMALL, "steps": 1000})
    submit(database, [slow])
    send(app, {slow.job.group: [slow.job.key]}, priority=5)
    wait_until(lambda: states(database) == {0: "leased"})
    binding = b"nightsweep:_kombu.binding"  # which queue there is
    assert [name for name in redis.scan_iter() if not name.startswith(binding)] == []
