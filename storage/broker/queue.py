"""The Celery app that producer and workers share, and what crosses Redis.

Only JSON crosses, and only the keys of jobs and the digests of metrics: whoever can
write to Redis can at most ask for jobs and scores that SQL already holds. A message is
a hint. It is gone from Redis as soon as a worker takes it, and Redis may lose all
messages: leases in SQL say who makes a job, and every supervisor sends again the jobs
and the metrics that wait in SQL without a message. See `storage.jobs.claims` and
`workers.supervision.reconciler`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from storage.errors import QueueError
from storage.job import BACKENDS, TORCH, backend_of
from storage.settings import without_password

#: The task that makes some jobs, and the one that computes scores of a metric.
MAKE = "nightsweep.make"
SCORE = "nightsweep.score"
#: The queue of torch workers, who compute scores too. Other back ends have their own.
QUEUE = "images"
#: All Redis keys begin with this.
PREFIX = "nightsweep:"
#: Job keys in one message: about 130 bytes of Redis memory a job.
MESSAGE_KEYS = 32
#: Messages that travel to Redis in one round trip.
PIPELINE = 500
#: Kombu keeps one Redis list per priority step.
PRIORITY_STEPS = (0, 3, 6, 9)
#: Scores come after images.
SCORE_PRIORITY = 9

_TRANSPORT: dict[str, Any] = {
    "priority_steps": list(PRIORITY_STEPS),
    "queue_order_strategy": "priority",
    "socket_timeout": 20,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "connect_retries_timeout": 60,
    "global_keyprefix": PREFIX,
    "client_name": "nightsweep",
}


def make_app(redis_url: str) -> Celery:
    """Make the Celery app for a broker.

    Args:
        redis_url: `redis+socket://...`, `redis://...` or `rediss://...`.
    """
    names = map(queue_of, BACKENDS)
    app = Celery("nightsweep", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[
            Queue(name, Exchange(name), routing_key=name, no_ack=True) for name in names
        ],
        task_default_queue=QUEUE,
        task_default_priority=5,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # 100, the default, would end a night
        broker_channel_error_retry=True,  # a full disk is not the end
        # No message awaits acknowledgement, so this cancels none. Off, Celery warns.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_transport_options=_TRANSPORT,
        task_publish_retry_policy={
            "max_retries": 60,
            "interval_start": 0.5,
            "interval_step": 0.5,
            "interval_max": 2,
        },
    )
    return app


def queue_of(backend: str) -> str:
    """Return the queue of the workers of a back end."""
    return QUEUE if backend == TORCH else f"{QUEUE}.{backend}"


def send(app: Celery, groups: Mapping[str, Sequence[str]], *, priority: int) -> int:
    """Send job keys to the workers of their back end, in chunks of one group each.

    Sending a key twice does no harm: the second message finds the job taken.

    Args:
        app: Made by `make_app`.
        groups: Batch group to keys, in order of execution.
        priority: 0, first, to 9, last.

    Returns:
        The number of messages.

    Raises:
        QueueError: Redis could not be reached. Some messages may have arrived.
    """
    chunks: dict[str, list[list[str]]] = {}
    for group, keys in groups.items():
        chunks.setdefault(queue_of(backend_of(group)), []).extend(
            list(keys[start : start + MESSAGE_KEYS])
            for start in range(0, len(keys), MESSAGE_KEYS)
        )
    for queue, each in chunks.items():
        _send_all(app, MAKE, each, queue=queue, priority=priority)
    return sum(map(len, chunks.values()))


def send_scores(app: Celery, copies: Mapping[str, int]) -> None:
    """Send the digests of metrics whose scores wait to the workers.

    Args:
        app: Made by `make_app`.
        copies: How many workers to wake for each digest.

    Raises:
        QueueError: Redis could not be reached. Some messages may have arrived.
    """
    each = [digest for digest, count in copies.items() for _ in range(count)]
    _send_all(app, SCORE, each, queue=QUEUE, priority=SCORE_PRIORITY)


def waiting(app: Celery, backend: str = TORCH) -> int:
    """Count the messages for a back end that no worker has taken.

    Raises:
        QueueError: Redis could not be reached.
    """
    queue = queue_of(backend)
    names = [queue if not n else f"{queue}\x06\x16{n}" for n in PRIORITY_STEPS]
    with redis_client(app) as client:
        return sum(client.llen(name) for name in names)


@contextmanager
def redis_client(app: Celery) -> Iterator[Any]:
    """Yield a client of Redis itself, or fail soon; keys get their prefix.

    It is for callers that ask again later and have other work meanwhile: sending would
    retry for a minute.

    Raises:
        QueueError: Redis could not be reached.
    """
    soon = {"connect_retries_timeout": 1, "socket_timeout": 5}
    with translated(app), app.connection_for_read(transport_options=soon) as connection:
        channel: Any = connection.default_channel
        yield channel.client


@contextmanager
def translated(app: Celery) -> Iterator[None]:
    """Turn the errors of kombu and redis into `QueueError`."""
    try:
        yield
    except (KombuError, OperationalError, RedisError, OSError) as exc:
        raise unreachable(app, exc) from exc


def unreachable(app: Celery, exc: Exception) -> QueueError:
    """Return the error that people see for an error of kombu or redis."""
    url, said = without_password(app.conf.broker_url or ""), str(exc).rstrip(".")
    return QueueError(
        f"Redis must be reachable and writable, but {url} says: {said}; start it, make "
        "room on its disk, or check NIGHTSWEEP_REDIS_URL."
    )


def _send_all(
    app: Celery,
    task: str,
    arguments: Sequence[object],
    *,
    queue: str,
    priority: int,
) -> None:
    with translated(app), app.producer_pool.acquire(block=True) as producer:
        for start in range(0, len(arguments), PIPELINE):
            some = arguments[start : start + PIPELINE]
            _send_pipelined(app, producer, task, some, queue=queue, priority=priority)


def _send_pipelined(
    app: Celery,
    producer: Any,
    task: str,
    arguments: Iterable[object],
    *,
    queue: str,
    priority: int,
) -> None:
    with producer.batch(PIPELINE):
        for argument in arguments:
            app.send_task(
                task,
                args=[argument],
                queue=queue,
                priority=priority,
                producer=producer,
                argsrepr="",
                kwargsrepr="",
            )
