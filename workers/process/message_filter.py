"""The message filter: only the argument and the priority of a message reach Celery.

Celery trusts its broker. Otherwise, anybody who can write to Redis could name another
of Celery's tasks, run callbacks, hold a message back for years, or end a worker with
something that is not a message at all.
"""

import base64
import json
import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import bootsteps
from kombu.transport.virtual.base import Message

from storage.broker import queue

log = logging.getLogger(__name__)


class MalformedError(ValueError):
    """Something that none of our producers has sent."""


class MessageFilter(bootsteps.StartStopStep):
    """Put the argument of each incoming message into an envelope of our own.

    A message without one is discarded for good: it is out of Redis by then.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Filter what a new connection passes to Celery."""
        channel = consumer.task_consumer.channel
        channel.Message = _NewMessage
        channel.handlers["BRPOP"] = partial(_read, channel.handlers["BRPOP"])


def rewritten(raw: object) -> dict[str, Any]:
    """Return a message with only the argument and the priority of `raw`.

    Args:
        raw: What was in Redis, decoded from JSON.

    Raises:
        MalformedError: It is not a message for one of our tasks with one argument.
    """
    match raw:
        case {
            "headers": {"task": (queue.MAKE | queue.SCORE) as task},
            "content-type": "application/json",
            "properties": {"priority": int(priority), "body_encoding": "base64"},
            "body": str(body),
        }:
            most = min(max(priority, 0), 9)
            return _message(task, _argument_in(body), priority=most)
    msg = (
        f"a message must be for {queue.MAKE} or {queue.SCORE}, got a "
        f"{type(raw).__name__}"
    )
    raise MalformedError(msg)


class _NewMessage(Message):
    def __init__(self, payload: object, channel: Any = None, **kwargs: Any) -> None:
        super().__init__(rewritten(payload), channel=channel, **kwargs)

    def ack(self, multiple: bool = False) -> None:
        """Do nothing: the message is gone from Redis already."""


def _read(read: Callable[..., object], **options: Any) -> object:
    """Take a message from Redis; discard a malformed one."""
    try:
        return read(**options)
    except (ValueError, RecursionError) as exc:  # json's errors are ValueErrors
        log.warning(
            "Discarded a malformed message (%s).",
            type(exc).__name__,
            extra={"action": "discarded"},
        )
        return True


def _argument_in(body: str) -> object:
    match json.loads(base64.b64decode(body)):
        case [[argument], *_]:
            return argument
    msg = "a message must have one argument"
    raise MalformedError(msg)


def _message(task: str, argument: object, *, priority: int) -> dict[str, Any]:
    """Make a message as Celery's protocol 2 wants it."""
    body = json.dumps([[argument], {}, {}]).encode()
    return {
        "headers": {"task": task, "id": str(uuid.uuid4())},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": {
            "priority": priority,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue.QUEUE},
        },
        "body": base64.b64encode(body).decode(),
    }
