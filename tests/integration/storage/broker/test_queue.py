"""The queue: what crosses Redis, in which order, and what is said when it is away."""

import base64
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from storage.broker.embedded import broker_url, stop
from storage.broker.queue import (
    MAKE,
    MESSAGE_KEYS,
    PIPELINE,
    QUEUE,
    make_app,
    send,
    waiting,
)
from storage.broker.server_socket import socket_path
from storage.errors import QueueError
from storage.settings import Settings
from workers.process.tasks import valid_keys


@pytest.fixture
def redis(app: Celery, settings: Settings) -> Iterator["Redis"]:
    with Redis(unix_socket_path=str(socket_path(settings))) as client:
        yield client


def keys_from(first: int, *, count: int) -> list[str]:
    return [f"{number:032x}" for number in range(first, first + count)]


def take_one(app: Celery) -> list[str]:
    """Take the message that a worker would get next; give its keys."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        message = channel.basic_get(QUEUE, no_ack=True)
        keys: list[str] = message.payload[0][0]
        return keys


def raw_messages(redis: "Redis") -> list[dict[str, Any]]:
    names = [name for name in redis.scan_iter() if redis.type(name) == b"list"]
    return [json.loads(raw) for name in names for raw in redis.lrange(name, 0, -1)]


def test_a_new_queue_is_empty(app: Celery) -> None:
    assert waiting(app) == 0


def test_keys_arrive_in_order(app: Celery) -> None:
    assert send(app, {"group": keys_from(0, count=3)}, priority=5) == 1
    assert waiting(app) == 1
    assert take_one(app) == keys_from(0, count=3)
    assert waiting(app) == 0


def test_a_message_holds_keys_of_one_group_and_no_more_than_a_chunk(
    app: Celery,
) -> None:
    groups = {
        "a": keys_from(0, count=2 * MESSAGE_KEYS + 1),
        "b": keys_from(1000, count=2),
    }
    assert send(app, groups, priority=5) == 4
    taken = [take_one(app) for _ in range(4)]
    assert [len(keys) for keys in taken] == [MESSAGE_KEYS, MESSAGE_KEYS, 1, 2]
    assert list(itertools.chain(*taken)) == groups["a"] + groups["b"]


def test_the_more_urgent_message_is_taken_first(app: Celery) -> None:
    for priority in (9, 5, 0):
        send(app, {"group": keys_from(priority, count=1)}, priority=priority)
    assert waiting(app) == 3
    assert [take_one(app) for _ in range(3)] == [
        keys_from(priority, count=1) for priority in (0, 5, 9)
    ]


def test_nothing_but_json_with_keys_crosses_redis(app: Celery, redis: "Redis") -> None:
    keys = keys_from(0, count=2)
    send(app, {"group": keys}, priority=5)
    (message,) = raw_messages(redis)
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == MAKE
    arguments, options, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, options) == ([keys], {})
    assert keys[0] not in json.dumps(message["headers"])


def test_everything_in_redis_has_our_prefix(app: Celery, redis: "Redis") -> None:
    send(app, {"group": keys_from(0, count=1)}, priority=5)
    names = [bytes(name) for name in redis.scan_iter()]
    assert names
    assert all(name.startswith(b"nightsweep:") for name in names)


def test_more_messages_than_one_round_trip_arrive_once_each(
    app: Celery, redis: "Redis"
) -> None:
    keys = keys_from(0, count=MESSAGE_KEYS * (PIPELINE + 1))
    assert send(app, {"group": keys}, priority=5) == PIPELINE + 1
    assert waiting(app) == PIPELINE + 1
    bodies = [base64.b64decode(message["body"]) for message in raw_messages(redis)]
    assert sorted(key for body in bodies for key in json.loads(body)[0][0]) == keys


def test_sending_nothing_sends_nothing(app: Celery) -> None:
    assert send(app, {}, priority=5) == 0
    assert waiting(app) == 0


def test_the_queue_works_again_when_redis_is_back(
    app: Celery, settings: Settings
) -> None:
    send(app, {"group": keys_from(0, count=1)}, priority=5)
    stop(settings)
    with pytest.raises(QueueError, match="Redis must be reachable"):
        waiting(app)
    broker_url(settings)
    send(app, {"group": keys_from(1, count=1)}, priority=5)
    assert waiting(app) == 2


def test_an_error_names_redis_and_hides_the_password() -> None:
    app = make_app("redis://:geheim@127.0.0.1:1/0")
    app.conf.broker_transport_options["connect_retries_timeout"] = 0.1
    for act in (waiting, lambda app: send(app, {"g": ["0" * 32]}, priority=5)):
        with pytest.raises(
            QueueError,
            match=r"^Redis must be reachable and writable, but "
            r"redis://:\*\*\*@127\.0\.0\.1:1/0 says: .*refused.*; "
            r"start it, .* or check NIGHTSWEEP_REDIS_URL\.$",
        ) as caught:
            act(app)
        assert caught.value.retryable
    app.close()


@pytest.mark.parametrize("count", [1, MESSAGE_KEYS])
def test_a_worker_accepts_what_a_producer_sends(count: int) -> None:
    assert valid_keys(keys_from(0, count=count)) == keys_from(0, count=count)


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "0" * 32,
        {"0" * 32: 1},
        [],
        [1],
        [None],
        [["0" * 32]],
        ["../../etc/passwd"],
        ["0" * 31],
        ["0" * 32 + "\n"],
        ["F" * 32],
        ["0" * 32, "x"],
        ["0" * 32] * (MESSAGE_KEYS + 1),
    ],
)
def test_a_worker_accepts_nothing_else(garbage: object) -> None:
    assert valid_keys(garbage) == []
