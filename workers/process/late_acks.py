"""Acknowledging again: what keeps a worker from waiting for ever after an outage."""

import logging
from typing import Any

from celery import bootsteps
from celery.worker import state

from workers.vitals import outages

log = logging.getLogger(__name__)

#: Seconds between two looks for a message that could not be acknowledged.
ACK_POLL_S = 2.0


class LateAcks(bootsteps.StartStopStep):
    """Acknowledge, when Redis is back, the message of a turn that ended without it.

    Celery logs "Couldn't ack" and counts the message as in hand for ever; since a
    worker takes one message at a time, it would never take another. While Redis is
    still away the attempt raises, and Celery connects anew.

    A look without an error shows that Redis is back: one would have ended the
    connection, and the timer with it.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Take Celery's consumer; it starts with its connection."""
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Look now and then, between turns."""
        self._timer = consumer.timer.call_repeatedly(ACK_POLL_S, _ack, (consumer,))

    def stop(self, _consumer: Any) -> None:
        """Look no more."""
        if self._timer:
            self._timer.cancel()


def _ack(consumer: Any) -> None:
    if state.active_requests or state.reserved_requests:
        return
    qos = consumer.task_consumer.channel.qos
    for tag in set(qos._delivered) - qos._dirty:
        qos.ack(tag)
        log.warning("Acknowledged a message late.", extra={"action": "acked_late"})
    outages.end(outages.REDIS)
